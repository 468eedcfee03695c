// What the chat's part of the page must do.

import assert from 'node:assert/strict';
import { GROUP, OLD, ROOM, isRead, isReadThrough, isWhole, lineIsInSight, pair, scrollUpAndWatch, sendMany } from './conversation.js';
import { fits, isTouchable } from './layout.js';
import { until } from './until.js';
import { phone } from './world.js';

/** Of each demo room, from the first start on. */
const DEMO_MESSAGES = 5;

export const checks = [
  ['eight members can be chosen', async (world) => {
    const one = await world.open();
    await one.page.waitForSelector('[data-member="8"]');
    assert.equal(await one.page.locator('#members [data-member]').count(), 8);
    assert.match(await one.text('#members'), /김바다/);
    await one.shot(world.shots, '01-login');
  }],

  ['two tabs of one browser are two members', async (world) => {
    const one = await world.open();
    const two = await world.beside(one);
    await one.logIn(1);
    await two.logIn(2);
    assert.equal(await one.text('#to-me'), '김\n김바다');
    assert.equal(await two.text('#to-me'), '이\n이하늘');
    await one.page.reload();
    await one.connected();
    assert.equal(await one.text('#to-me'), '김\n김바다');
  }],

  ['the demo rooms hold a conversation, and its last message is unread', async (world) => {
    const one = await world.member(1);
    assert.match(await one.text('#to-chat .badge'), /3$/);
    await one.enter(ROOM);
    assert.equal((await one.messages()).length, DEMO_MESSAGES);
    assert.match(await one.text('#messages'), /0\.3GB만 나눠서/);
    await one.enter(GROUP);
    assert.equal((await one.messages()).length, DEMO_MESSAGES);
    await one.shot(world.shots, '02-demo-group');
  }],

  ['an empty room says so', async (world) => {
    const one = await world.member(1);
    const room = world.server.room(1, 2);
    await one.page.reload();
    await one.enter(room);
    assert.match(await one.text('#beginning'), /먼저 인사해 보세요/);
    assert.equal(await one.text('#title'), '이하늘');
    await one.shot(world.shots, '02-empty-room');
  }],

  ['messages come live, both ways, once each', async (world) => {
    const { one, two } = await pair(world);
    await one.send('안녕하세요, 데이터 2GB 아직 있나요?');
    await two.shows('안녕하세요, 데이터 2GB 아직 있나요?');
    await one.shows('안녕하세요, 데이터 2GB 아직 있나요?');
    await two.send('네, 있어요! 바로 보내 드릴까요?');
    await one.shows('네, 있어요! 바로 보내 드릴까요?');
    await two.shows('네, 있어요! 바로 보내 드릴까요?');
    assert.deepEqual((await one.messages()).slice(-2).map(({ isMine }) => isMine), [true, false]);
    assert.deepEqual((await two.messages()).slice(-2).map(({ isMine }) => isMine), [false, true]);
  }],

  ['typing shows, and goes with the message', async (world) => {
    const { one, two } = await pair(world);
    await two.page.locator('#text').pressSequentially('잠시만요');
    await until('typing shows', async () => (await one.text('#typing')).includes('이하늘 님이 입력하고 있어요'));
    await one.shot(world.shots, '03-typing');
    await two.page.press('#text', 'Enter');
    await one.shows('잠시만요');
    await until('typing is gone', async () => (await one.text('#typing')) === '');
  }],

  ['a message that was read says so', async (world) => {
    const { one, two } = await pair(world);
    await one.send('읽으셨나요?');
    await two.shows('읽으셨나요?');
    await isRead(one);
    assert.equal(await one.page.locator('.read').count(), 1);
  }],

  ['markup in a message is text', async (world) => {
    const { one, two } = await pair(world);
    const text = '<img src=x onerror="document.title=\'bad\'"><script>alert(1)</script>';
    await one.send(text);
    await two.shows(text);
    assert.equal(await two.page.locator('.bubble img, .bubble script').count(), 0);
    assert.doesNotMatch(await two.page.title(), /bad/);
  }],

  ['an unread message is counted, and a line shows where reading ended', async (world) => {
    const { one, two } = await pair(world);
    await two.enter(GROUP);
    await isReadThrough(two, GROUP);
    await one.send('혹시 1GB만 먼저 받을 수 있을까요?');
    await one.send('남은 건 내일 받아도 괜찮아요 🙂');
    const badge = two.page.locator(`[data-room="${ROOM}"] .badge`);
    await until('the badge counts two', async () => /2$/.test((await badge.count()) ? await badge.innerText() : ''));
    assert.match(await two.text(`[data-room="${ROOM}"] .room-last`), /남은 건 내일/);
    assert.match(await two.page.title(), /^\(2\)/);
    await two.shot(world.shots, '04-unread');
    await two.enter(ROOM);
    await two.page.waitForSelector('.unread-line');
    await until('the badge is gone', async () => (await badge.count()) === 0);
    await two.shot(world.shots, '05-unread-line');
  }],

  ['a message can be taken back', async (world) => {
    const { one, two } = await pair(world);
    await two.send('이건 잘못 보냈어요');
    await one.shows('이건 잘못 보냈어요');
    await two.page.click('.bubble:has-text("이건 잘못 보냈어요")');
    await two.shot(world.shots, '06-actions');
    await two.page.click('.action.danger');
    await one.shows('삭제된 메시지예요');
    await two.shows('삭제된 메시지예요');
    assert.equal(await one.count('이건 잘못 보냈어요'), 0);
  }],

  ['a group shows who says what', async (world) => {
    const { one, two } = await pair(world, GROUP);
    await one.send('이번 달 자투리 데이터 나눌 분 계세요?');
    await two.shows('이번 달 자투리 데이터 나눌 분 계세요?');
    assert.equal(await two.page.locator('.message.theirs .sender').last().innerText(), '김바다');
    await two.send('저 500MB 남았어요');
    await one.shows('저 500MB 남았어요');
    await one.shot(world.shots, '07-group');
  }],

  ['older messages come on scrolling, without a jump', async (world) => {
    const one = await world.memberIn(ROOM, 1);
    await sendMany(one, ROOM, OLD);
    await one.page.reload();
    await one.connected();
    await one.shows(`오래된 메시지 ${OLD}`);
    const before = await one.messages();
    assert.ok(before.length < OLD, `${before.length} messages at once`);
    const top = before[0].id;
    const moved = await one.page.evaluate(scrollUpAndWatch, top);
    assert.ok(Math.abs(moved) <= 2, `what was read moved by ${moved} px`);
    await one.shot(world.shots, '08-older');
    await until('the beginning is reached', async () => {
      await one.page.evaluate(() => (document.getElementById('scroller').scrollTop = 0));
      return (await one.text('#beginning')).includes('대화의 시작');
    });
    await isWhole(one);
  }],

  ['a long absence begins where reading ended', async (world) => {
    const { one, two } = await pair(world);
    await two.enter(GROUP);
    await sendMany(one, ROOM, OLD);
    await two.enter(ROOM);
    await until('the line is in sight', () => two.page.evaluate(lineIsInSight));
    assert.equal(await two.isAtEnd(), false);
    const badge = two.page.locator(`[data-room="${ROOM}"] .badge`);
    assert.equal(await badge.count(), 1, 'what was not seen is not read');
    await two.shot(world.shots, '09-absence');
    await two.page.click('#jump');
    await until('the badge is gone', async () => (await badge.count()) === 0);
    assert.ok(await two.isAtEnd());
  }],

  ['a reload keeps what was said and read', async (world) => {
    const { one, two } = await pair(world);
    await sendMany(one, ROOM, OLD);
    await one.send('다시 열어도 그대로죠?');
    await two.shows('다시 열어도 그대로죠?');
    await isRead(one);
    const before = (await one.messages()).slice(-10);
    await one.page.reload();
    await one.connected();
    await one.shows('다시 열어도 그대로죠?');
    assert.deepEqual((await one.messages()).slice(-10), before);
    await isRead(one);
  }],

  ['what was not sent can be sent again', async (world) => {
    const two = await world.memberIn(ROOM, 2);
    const tab = await world.blank(two.page.context());
    const spoil = await tab.spoilSends();
    await tab.page.goto(world.server.url);
    await tab.logIn(1);
    await tab.enter(ROOM);
    spoil.on = true;
    await tab.send('이번엔 안 갈 거예요');
    await tab.page.waitForSelector('.failure');
    await tab.shot(world.shots, '10-failed');
    assert.equal(await two.count('이번엔 안 갈 거예요'), 0);
    spoil.on = false;
    await tab.page.click('.failure .action');
    await tab.shows('이번엔 안 갈 거예요');
    await two.shows('이번엔 안 갈 거예요');
    await isWhole(tab);
  }],

  ['a killed server loses and doubles nothing', async (world) => {
    const { one, two } = await pair(world);
    await sendMany(one, ROOM, OLD);
    await one.send('서버가 꺼지기 전');
    await two.shows('서버가 꺼지기 전');
    await world.server.kill();
    await one.page.waitForSelector('#status:not([hidden])');
    await one.page.evaluate(() => (document.getElementById('scroller').scrollTop = 0));
    await one.send('꺼져 있는 동안 1');
    await one.send('꺼져 있는 동안 2');
    await two.send('저도 기다려요');
    await one.page.waitForSelector('[data-state="sending"]');
    await until('what one sends is seen', () => one.isAtEnd());
    await one.shot(world.shots, '11-away');
    await world.server.run();
    await Promise.all([one.connected(), two.connected()]);
    for (const text of ['서버가 꺼지기 전', '꺼져 있는 동안 1', '꺼져 있는 동안 2', '저도 기다려요']) {
      await one.shows(text);
      await two.shows(text);
    }
    await isWhole(one);
    await isWhole(two);
    await one.page.waitForSelector('#status', { state: 'hidden' });
  }],

  ['Ctrl-C is immediate, and what waits to be sent survives a reload', async (world) => {
    const { one, two } = await pair(world);
    await sendMany(one, ROOM, OLD);
    const start = Date.now();
    assert.equal(await world.server.interrupt(), 0);
    assert.ok(Date.now() - start < 3_000, `it took ${Date.now() - start} ms`);
    await one.page.waitForSelector('#status:not([hidden])');
    await one.send('새로고침해도 남아요');
    await one.page.waitForSelector('[data-state="sending"]');
    await world.server.run();
    await one.page.reload();
    await one.connected();
    await one.shows('새로고침해도 남아요');
    await two.shows('새로고침해도 남아요');
    await isWhole(two);
  }],

  ['a restored backup leaves a hole in the ids, and none in the conversation', async (world) => {
    const { one, two } = await pair(world);
    await one.send('백업하기 전');
    await two.shows('백업하기 전');
    await world.server.restore();
    await Promise.all([one.connected(), two.connected()]);
    await one.send('백업을 되돌린 뒤');
    await two.shows('백업을 되돌린 뒤');
    const all = DEMO_MESSAGES + 2;
    for (const tab of [one, two]) {
      await until('the whole conversation', async () => (await tab.messages()).length === all && (await tab.text('#beginning')).includes('대화의 시작'));
      await tab.quiet();
    }
    const ids = (await one.messages()).map(({ id }) => id);
    assert.ok(ids.at(-1) > ids.at(-2) + 1, 'the ids jump ahead');
    await one.page.reload();
    await one.connected();
    await until('the same after a reload', async () => (await one.messages()).length === all);
    await one.quiet();
  }],

  ['a second tab of the same member sees the same', async (world) => {
    const one = await world.memberIn(ROOM, 1);
    const third = await world.beside(one);
    await third.logIn(1);
    await third.enter(ROOM);
    await one.send('두 탭에서 보여요');
    await third.shows('두 탭에서 보여요');
    assert.equal((await third.messages()).at(-1).isMine, true);
  }],

  ['a new room appears by itself', async (world) => {
    const one = await world.memberIn(ROOM, 1);
    // So that nothing but the poll of the list can show it.
    await one.quiet();
    const room = world.server.room(1, 4);
    await one.page.waitForSelector(`[data-room="${room}"]`, { timeout: 30_000 });
  }],

  ['a phone shows one pane, without scrolling sideways', async (world) => {
    await longTalk(world, '휴대폰에서 보여요');
    for (const [colorScheme, width] of [['light', 360], ['dark', 390]]) {
      const small = await world.open({ ...phone(width), colorScheme });
      await small.page.waitForSelector('[data-member="1"]');
      await fits(small);
      await small.shot(world.shots, `12-phone-login-${colorScheme}`);
      await small.logIn(1);
      await small.page.click('#to-chat');
      await small.page.waitForSelector('[data-room="1"]');
      await fits(small);
      assert.equal(await small.page.locator('.conversation').isVisible(), false);
      await small.shot(world.shots, `13-phone-list-${colorScheme}`);
      await small.enter(ROOM);
      await small.shows('휴대폰에서 보여요');
      await fits(small);
      assert.equal(await small.page.locator('.rooms').isVisible(), false);
      await isTouchable(small);
      await small.shot(world.shots, `14-phone-room-${colorScheme}`);
      await small.page.click('#back');
      await small.page.waitForSelector('.rooms', { state: 'visible' });
      await world.close(small);
    }
  }],

  ['the desktop is dark where the system is', async (world) => {
    await longTalk(world, '어두운 화면에서 보여요');
    const tab = await world.memberIn(ROOM, 2, { colorScheme: 'dark' });
    await tab.shows('어두운 화면에서 보여요');
    await tab.shot(world.shots, '15-dark');
  }],

  ['leaving leads to the first screen', async (world) => {
    const two = await world.memberIn(ROOM, 2);
    await two.page.click('#leave');
    await two.page.waitForSelector('[data-member="3"]');
    assert.equal(new URL(two.page.url()).hash, '');
    await two.logIn(3);
    assert.equal(await two.text('#to-me'), '박\n박도윤');
  }],

  ['nothing was asked of others, and nothing complained', async (world) => {
    const { one, two } = await pair(world);
    await one.send('여기까지 괜찮았나요?');
    await two.shows('여기까지 괜찮았나요?');
    await two.page.reload();
    await two.connected();
    await two.enter(GROUP);
    await two.send('네, 아무 문제 없었어요');
    await one.enter(GROUP);
    await one.shows('네, 아무 문제 없었어요');
    await one.page.click('#leave');
    await one.page.waitForSelector('[data-member="3"]');
    assert.deepEqual([...one.strangers, ...two.strangers], []);
    assert.deepEqual([...one.complaints, ...two.complaints], []);
  }],
];

/** Fills the room with more than a page, whose last message is this one. */
async function longTalk(world, last) {
  const tab = await world.memberIn(ROOM, 1);
  await sendMany(tab, ROOM, OLD);
  await tab.send(last);
  await tab.shows(last);
  await world.close(tab);
}
