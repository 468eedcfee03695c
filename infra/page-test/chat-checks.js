// What the page must do. The checks build on each other: one conversation, from the first visit on.

import assert from 'node:assert/strict';
import { fits, isTouchable } from './layout.js';
import { Tab } from './tab.js';
import { until } from './until.js';

const ROOM = 1;
const GROUP = 2 ** 30;

/** Of each demo room, from the first start on. */
const DEMO_MESSAGES = 5;

/** More than two pages of history. */
const OLD = 90;

export const checks = [
  ['eight members can be chosen', async ({ one, shots }) => {
    await one.page.waitForSelector('[data-member="8"]');
    assert.equal(await one.page.locator('[data-member]').count(), 8);
    assert.match(await one.text('#members'), /김바다/);
    await one.shot(shots, '01-login');
  }],

  ['two tabs of one browser are two members', async ({ one, two }) => {
    await one.logIn(1);
    await two.logIn(2);
    assert.equal(await one.text('#to-me'), '김\n김바다');
    assert.equal(await two.text('#to-me'), '이\n이하늘');
    await one.page.reload();
    await one.connected();
    assert.equal(await one.text('#to-me'), '김\n김바다');
  }],

  ['the demo rooms hold a conversation, and its last message is unread', async ({ one, shots }) => {
    assert.match(await one.text('#to-chat .badge'), /3$/);
    await one.enter(ROOM);
    assert.equal((await one.messages()).length, DEMO_MESSAGES);
    assert.match(await one.text('#messages'), /0\.3GB만 나눠서/);
    await one.enter(GROUP);
    assert.equal((await one.messages()).length, DEMO_MESSAGES);
    await one.shot(shots, '02-demo-group');
  }],

  ['an empty room says so', async ({ one, server, shots }) => {
    const room = server.command('room', '--members', '1,2', '--server', server.url);
    await one.page.reload();
    await one.enter(room);
    assert.match(await one.text('#beginning'), /먼저 인사해 보세요/);
    assert.equal(await one.text('#title'), '이하늘');
    await one.shot(shots, '02-empty-room');
  }],

  ['messages come live, both ways, once each', async ({ one, two }) => {
    await one.enter(ROOM);
    await two.enter(ROOM);
    await one.send('안녕하세요, 데이터 2GB 아직 있나요?');
    await two.shows('안녕하세요, 데이터 2GB 아직 있나요?');
    await one.shows('안녕하세요, 데이터 2GB 아직 있나요?');
    await two.send('네, 있어요! 바로 보내 드릴까요?');
    await one.shows('네, 있어요! 바로 보내 드릴까요?');
    await two.shows('네, 있어요! 바로 보내 드릴까요?');
    assert.deepEqual((await one.messages()).slice(-2).map(({ isMine }) => isMine), [true, false]);
    assert.deepEqual((await two.messages()).slice(-2).map(({ isMine }) => isMine), [false, true]);
  }],

  ['typing shows, and goes with the message', async ({ one, two, shots }) => {
    await two.page.locator('#text').pressSequentially('잠시만요');
    await until('typing shows', async () => (await one.text('#typing')).includes('이하늘 님이 입력하고 있어요'));
    await one.shot(shots, '03-typing');
    await two.page.press('#text', 'Enter');
    await one.shows('잠시만요');
    await until('typing is gone', async () => (await one.text('#typing')) === '');
  }],

  ['a message that was read says so', async ({ one, two }) => {
    await one.send('읽으셨나요?');
    await two.shows('읽으셨나요?');
    await until('read mark', async () => {
      const last = one.page.locator('.message.mine').last();
      return (await last.innerText()).includes('읽음');
    });
    assert.equal(await one.page.locator('.read').count(), 1);
  }],

  ['markup in a message is text', async ({ one, two }) => {
    const text = '<img src=x onerror="document.title=\'bad\'"><script>alert(1)</script>';
    await one.send(text);
    await two.shows(text);
    assert.equal(await two.page.locator('.bubble img, .bubble script').count(), 0);
    assert.doesNotMatch(await two.page.title(), /bad/);
  }],

  ['an unread message is counted, and a line shows where reading ended', async ({ one, two, shots }) => {
    await two.enter(GROUP);
    await one.send('혹시 1GB만 먼저 받을 수 있을까요?');
    await one.send('남은 건 내일 받아도 괜찮아요 🙂');
    const badge = two.page.locator(`[data-room="${ROOM}"] .badge`);
    await until('the badge counts two', async () => /2$/.test((await badge.count()) ? await badge.innerText() : ''));
    assert.match(await two.text(`[data-room="${ROOM}"] .room-last`), /남은 건 내일/);
    assert.match(await two.page.title(), /^\(2\)/);
    await two.shot(shots, '04-unread');
    await two.enter(ROOM);
    await two.page.waitForSelector('.unread-line');
    await until('the badge is gone', async () => (await badge.count()) === 0);
    await two.shot(shots, '05-unread-line');
  }],

  ['a message can be taken back', async ({ one, two, shots }) => {
    await two.send('이건 잘못 보냈어요');
    await one.shows('이건 잘못 보냈어요');
    await two.page.click('.bubble:has-text("이건 잘못 보냈어요")');
    await two.shot(shots, '06-actions');
    await two.page.click('.action.danger');
    await one.shows('삭제된 메시지예요');
    await two.shows('삭제된 메시지예요');
    assert.equal(await one.count('이건 잘못 보냈어요'), 0);
  }],

  ['a group shows who says what', async ({ one, two, shots }) => {
    await one.enter(GROUP);
    await two.enter(GROUP);
    await one.send('이번 달 자투리 데이터 나눌 분 계세요?');
    await two.shows('이번 달 자투리 데이터 나눌 분 계세요?');
    assert.equal(await two.page.locator('.message.theirs .sender').last().innerText(), '김바다');
    await two.send('저 500MB 남았어요');
    await one.shows('저 500MB 남았어요');
    await one.shot(shots, '07-group');
  }],

  ['older messages come on scrolling, without a jump', async ({ one, shots }) => {
    await one.enter(ROOM);
    await sendMany(one, OLD);
    await one.shows(`오래된 메시지 ${OLD}`);
    await one.page.reload();
    await one.connected();
    await one.shows(`오래된 메시지 ${OLD}`);
    const before = await one.messages();
    assert.ok(before.length < OLD, `${before.length} messages at once`);
    const top = before[0].id;
    const moved = await one.page.evaluate(scrollUpAndWatch, top);
    assert.ok(Math.abs(moved) <= 2, `what was read moved by ${moved} px`);
    await one.shot(shots, '08-older');
    await until('the beginning is reached', async () => {
      await one.page.evaluate(() => (document.getElementById('scroller').scrollTop = 0));
      return (await one.text('#beginning')).includes('대화의 시작');
    });
    await isWhole(one);
  }],

  ['a long absence begins where reading ended', async ({ one, two, shots }) => {
    await two.enter(ROOM);
    await until('the line is in sight', () => two.page.evaluate(lineIsInSight));
    assert.equal(await two.isAtEnd(), false);
    const badge = two.page.locator(`[data-room="${ROOM}"] .badge`);
    assert.equal(await badge.count(), 1, 'what was not seen is not read');
    await two.shot(shots, '09-absence');
    await two.page.click('#jump');
    await until('the badge is gone', async () => (await badge.count()) === 0);
    assert.ok(await two.isAtEnd());
    await one.page.click('#jump');
  }],

  ['a reload keeps what was said and read', async ({ one, two }) => {
    await one.send('다시 열어도 그대로죠?');
    await two.shows('다시 열어도 그대로죠?');
    const isRead = async () => (await one.page.locator('.message.mine').last().innerText()).includes('읽음');
    await until('read mark', isRead);
    const before = (await one.messages()).slice(-10);
    await one.page.reload();
    await one.connected();
    await one.shows('다시 열어도 그대로죠?');
    assert.deepEqual((await one.messages()).slice(-10), before);
    await until('read mark again', isRead);
  }],

  ['what was not sent can be sent again', async ({ context, server, two, shots }) => {
    const tab = new Tab(await context.newPage(), server.url);
    const spoil = await tab.spoilSends();
    await tab.page.goto(server.url);
    await tab.logIn(1);
    await tab.enter(ROOM);
    spoil.on = true;
    await tab.send('이번엔 안 갈 거예요');
    await tab.page.waitForSelector('.failure');
    await tab.shot(shots, '10-failed');
    assert.equal(await two.count('이번엔 안 갈 거예요'), 0);
    spoil.on = false;
    await tab.page.click('.failure .action');
    await tab.shows('이번엔 안 갈 거예요');
    await two.shows('이번엔 안 갈 거예요');
    await isWhole(tab);
    await tab.page.close();
  }],

  ['a killed server loses and doubles nothing', async ({ one, two, server, shots }) => {
    await one.send('서버가 꺼지기 전');
    await two.shows('서버가 꺼지기 전');
    await server.kill();
    await one.page.waitForSelector('#status:not([hidden])');
    await one.page.evaluate(() => (document.getElementById('scroller').scrollTop = 0));
    await one.send('꺼져 있는 동안 1');
    await one.send('꺼져 있는 동안 2');
    await two.send('저도 기다려요');
    await one.page.waitForSelector('[data-state="sending"]');
    await until('what one sends is seen', () => one.isAtEnd());
    await one.shot(shots, '11-away');
    await server.run();
    await Promise.all([one.connected(), two.connected()]);
    for (const text of ['서버가 꺼지기 전', '꺼져 있는 동안 1', '꺼져 있는 동안 2', '저도 기다려요']) {
      await one.shows(text);
      await two.shows(text);
    }
    await isWhole(one);
    await isWhole(two);
    await one.page.waitForSelector('#status', { state: 'hidden' });
  }],

  ['Ctrl-C is immediate, and what waits to be sent survives a reload', async ({ one, two, server }) => {
    const start = Date.now();
    assert.equal(await server.interrupt(), 0);
    assert.ok(Date.now() - start < 3_000, `it took ${Date.now() - start} ms`);
    await one.page.waitForSelector('#status:not([hidden])');
    await one.send('새로고침해도 남아요');
    await one.page.waitForSelector('[data-state="sending"]');
    await server.run();
    await one.page.reload();
    await one.connected();
    await one.shows('새로고침해도 남아요');
    await two.shows('새로고침해도 남아요');
    await isWhole(two);
  }],

  ['a second tab of the same member sees the same', async ({ one, context, server }) => {
    const third = await Tab.open(context, server.url);
    await third.logIn(1);
    await third.enter(ROOM);
    await one.send('두 탭에서 보여요');
    await third.shows('두 탭에서 보여요');
    assert.equal((await third.messages()).at(-1).isMine, true);
    await third.page.close();
  }],

  ['a new room appears by itself', async ({ one, server }) => {
    const room = server.command('room', '--members', '1,4', '--server', server.url);
    await one.page.waitForSelector(`[data-room="${room}"]`, { timeout: 30_000 });
  }],

  ['a phone shows one pane, without scrolling sideways', async ({ browser, server, shots }) => {
    for (const [colorScheme, width] of [['light', 360], ['dark', 390]]) {
      const context = await browser.newContext({
        locale: 'ko-KR', colorScheme, viewport: { width, height: 780 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true,
      });
      context.setDefaultTimeout(20_000);
      const phone = await Tab.open(context, server.url);
      await phone.page.waitForSelector('[data-member="1"]');
      await fits(phone);
      await phone.shot(shots, `12-phone-login-${colorScheme}`);
      await phone.logIn(1);
      await phone.page.click('#to-chat');
      await phone.page.waitForSelector('[data-room="1"]');
      await fits(phone);
      assert.equal(await phone.page.locator('.conversation').isVisible(), false);
      await phone.shot(shots, `13-phone-list-${colorScheme}`);
      await phone.enter(ROOM);
      await phone.shows('두 탭에서 보여요');
      await fits(phone);
      assert.equal(await phone.page.locator('.rooms').isVisible(), false);
      await isTouchable(phone);
      await phone.shot(shots, `14-phone-room-${colorScheme}`);
      await phone.page.click('#back');
      await phone.page.waitForSelector('.rooms', { state: 'visible' });
      await context.close();
    }
  }],

  ['the desktop is dark where the system is', async ({ browser, server, shots }) => {
    const context = await browser.newContext({ locale: 'ko-KR', colorScheme: 'dark', viewport: { width: 1180, height: 800 } });
    context.setDefaultTimeout(20_000);
    const tab = await Tab.open(context, server.url);
    await tab.logIn(2);
    await tab.enter(ROOM);
    await tab.shows('두 탭에서 보여요');
    await tab.shot(shots, '15-dark');
    await context.close();
  }],

  ['leaving leads to the first screen', async ({ two }) => {
    await two.page.click('#leave');
    await two.page.waitForSelector('[data-member="3"]');
    assert.equal(new URL(two.page.url()).hash, '');
    await two.logIn(3);
    assert.equal(await two.text('#to-me'), '박\n박도윤');
  }],

  ['nothing was asked of others, and nothing complained', async ({ one, two }) => {
    assert.deepEqual([...one.strangers, ...two.strangers], []);
    assert.deepEqual([...one.complaints, ...two.complaints], []);
  }],
];

/** Sends by a connection of the test's own, with the tab's login. */
async function sendMany(tab, count) {
  await tab.page.evaluate(
    async ({ room, count }) => {
      const { Client } = await import('/vendor/stompjs/index.js');
      const { accessToken } = JSON.parse(sessionStorage.getItem('dapanda.session'));
      const client = new Client({
        brokerURL: `ws://${location.host}/conn`,
        connectHeaders: { Authorization: `Bearer ${accessToken}` },
      });
      await new Promise((resolve) => {
        client.onConnect = resolve;
        client.activate();
      });
      const stored = (name) => new Promise((resolve) => client.watchForReceipt(name, resolve));
      const all = [];
      for (let number = 1; number <= count; number += 1) {
        const receipt = `many-${number}`;
        all.push(stored(receipt));
        const body = JSON.stringify({ message: `오래된 메시지 ${number}` });
        client.publish({ destination: `/pub/${room}`, headers: { receipt }, body });
      }
      await Promise.all(all);
      await client.deactivate();
    },
    { room: ROOM, count },
  );
}

/** In the page: scrolls up a little, waits for older rows, and returns how far the row moved. */
async function scrollUpAndWatch(id) {
  const scroller = document.getElementById('scroller');
  // The text, not its row: a sender's name above it goes when that sender's earlier messages come.
  const row = () => document.querySelector(`[data-id="${id}"] .bubble`).getBoundingClientRect().top;
  const count = () => document.querySelectorAll('#messages .message').length;
  const rows = count();
  scroller.scrollTop = 400;
  const place = row();
  const end = Date.now() + 15_000;
  while (count() === rows && Date.now() < end) await new Promise((resolve) => requestAnimationFrame(resolve));
  if (count() === rows) throw new Error('no older messages came');
  return row() - place;
}

/** In the page: the line above what is unread, and something of both sides of it. */
function lineIsInSight() {
  const view = document.getElementById('scroller').getBoundingClientRect();
  const line = document.querySelector('.unread-line')?.getBoundingClientRect();
  return line != null && line.top > view.top + 40 && line.bottom < view.top + view.height / 2;
}

/** Every message once, in order, without a hole: ids of a room rise by one. */
async function isWhole(tab) {
  const ids = (await tab.messages()).map(({ id }) => id);
  assert.ok(ids.length > 0);
  ids.forEach((id, index) => assert.equal(id, ids[0] + index, `at ${index} of ${ids.length}`));
}
