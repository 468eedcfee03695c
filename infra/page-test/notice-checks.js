// Notifications, running bookings, and who is online.

import assert from 'node:assert/strict';
import { ROOM, pair } from './conversation.js';
import { booking, novelty, post } from './events.js';
import { fits, isNamed, isTouchable } from './layout.js';
import { Member } from './member.js';
import { until } from './until.js';
import { DESKTOP, phone } from './world.js';

/** Buys and sells nothing at the first start. */
const SELLER = 8;
const BUYER = 7;

export const checks = [
  ['an event rings once in every tab, and the bell counts what is unread', async (world) => {
    const one = await world.member(SELLER, DESKTOP);
    const two = await world.memberAt('#/chat', SELLER, one.page.context());
    await post(world.server, novelty(SELLER));
    // A notice stays for seconds only: each is waited for while the others are.
    await Promise.all([one, two].flatMap((tab) => [
      until('the notice', async () => /새 알림\s+새로운 소식이 있습니다/.test(await tab.text('#toast'))),
      until('the count', async () => (await badge(tab)) === '1'),
    ]));
    assert.equal(await two.page.getAttribute('#bell', 'aria-label'), '알림, 안 읽은 알림 1개');
    await one.shot(world.shots, '90-toast');
    await one.page.click('#bell');
    await one.page.waitForSelector('[data-notification]');
    assert.match(await one.text('[data-notification]'), /새 알림\s+새로운 소식이 있습니다\.\s+방금/);
    assert.equal(await one.page.locator('[data-notification] a').count(), 0, 'an unknown kind leads nowhere');
    await until('what is shown is read', async () => (await badge(one)) === '');
    await until('in the other tab, too', async () => (await badge(two)) === '');
    await one.shot(world.shots, '91-panel');
    await post(world.server, novelty(SELLER));
    await until('it is in the open list', async () => (await one.page.locator('[data-notification]').count()) === 2);
    await until('and read there', async () => (await unread(world, SELLER)) === 0);
    await one.page.keyboard.press('Escape');
    assert.ok(await one.page.locator('#notifications').isHidden());
    assert.equal(await one.page.evaluate(() => document.activeElement.id), 'bell');
    await one.page.reload();
    await one.connected();
    await one.quiet();
    assert.equal(await badge(one), '', 'a reload keeps what is read');
    await one.page.click('#bell');
    await until('and the list', async () => (await one.page.locator('[data-notification][data-read="true"]').count()) === 2);
    assert.equal((await one.text('#toast')).trim(), '', 'and rings nothing again');
  }],

  ['the list comes in pages, and one can be deleted', async (world) => {
    const tab = await world.member(SELLER, DESKTOP);
    for (let batch = 0; batch < 5; batch += 1) await post(world.server, ...Array.from({ length: 21 }, () => novelty(SELLER)));
    await until('as many as are counted', async () => (await badge(tab)) === '99+');
    await tab.page.reload();
    await tab.connected();
    await until('after a reload, too', async () => (await badge(tab)) === '99+');
    await tab.page.click('#bell');
    const rows = tab.page.locator('[data-notification]');
    await until('a page', async () => (await rows.count()) === 20);
    await tab.page.click('#notifications-more');
    await until('another', async () => (await rows.count()) === 40);
    const ids = (await rows.evaluateAll((all) => all.map((row) => Number(row.dataset.notification))));
    assert.deepEqual(ids, [...ids].sort((a, b) => b - a));
    await rows.nth(1).locator('.notification-delete').click();
    await until('it is gone', async () => (await rows.count()) === 39);
    assert.equal(await tab.page.evaluate(() => document.activeElement.closest('[data-notification]')?.dataset.notification), String(ids[2]));
    await tab.page.reload();
    await tab.connected();
    await tab.page.click('#bell');
    await until('a page without it', async () => (await rows.count()) === 20);
    const left = await rows.evaluateAll((all) => all.map((row) => Number(row.dataset.notification)));
    assert.ok(!left.includes(ids[1]) && left.includes(ids[0]) && left.includes(ids[2]));
  }],

  ['what happens while the server is away rings once when it is back', async (world) => {
    const tab = await world.member(SELLER, DESKTOP);
    await post(world.server, novelty(SELLER));
    await until('the first', async () => (await badge(tab)) === '1');
    await world.server.kill();
    await tab.page.waitForSelector('#status:not([hidden])');
    // The tab comes back later than the events.
    await tab.page.context().setOffline(true);
    await world.server.run();
    await post(world.server, novelty(SELLER), novelty(SELLER));
    await tab.page.evaluate(countToasts);
    await tab.page.context().setOffline(false);
    await tab.connected();
    await until('all are counted', async () => (await badge(tab)) === '3');
    await tab.quiet();
    assert.equal(await tab.page.evaluate(() => window.toasts), 2, 'each of the missed ones rings once');
    await tab.page.click('#bell');
    await until('all are listed', async () => (await tab.page.locator('[data-notification]').count()) === 3);
  }],

  ['a running booking is shown with its end, also after a reload', async (world) => {
    const buyer = await world.member(1, DESKTOP);
    const seller = await world.member(2, DESKTOP);
    await post(world.server, booking('started'));
    const shown = async () => /\d\d:\d\d까지 이용 중\s+(29|30):\d\d 남음/.test(await buyer.text('#bookings'));
    await Promise.all([
      until('the banner', shown),
      until('the seller is told', async () => /구매자가 \d\d:\d\d부터/.test(await seller.text('#toast'))),
    ]);
    assert.ok(await seller.page.locator('#bookings').isHidden());
    await fits(buyer);
    await buyer.shot(world.shots, '92-booking');
    await buyer.page.reload();
    await buyer.connected();
    await until('after a reload', shown);
    await post(world.server, booking('ended'));
    await until('until the end', async () => buyer.page.locator('#bookings').isHidden());
    await buyer.page.reload();
    await buyer.connected();
    await buyer.quiet();
    assert.ok(await buyer.page.locator('#bookings').isHidden());
    const ends = await buyer.page.evaluate(async () => {
      const { endOf } = await import('/js/bookings.js');
      return [['12:30:00', '13:00:00', '2025-08-07T12:31:00.000'], ['23:30:00', '00:30:00', '2025-08-07T23:45:00.000'], ['23:30:00', '00:30:00', '2025-08-08T00:10:00.000']].map((one) => endOf(...one));
    });
    assert.deepEqual(ends, ['2025-08-07T13:00:00', '2025-08-08T00:30:00', '2025-08-08T00:30:00']);
  }],

  ['who is online has a dot, in the list and in the room', async (world) => {
    const { one, two } = await pair(world);
    const row = one.page.locator(`[data-room="${ROOM}"] .online`);
    const head = one.page.locator('#avatar .online');
    await until('both dots', async () => (await row.count()) === 1 && (await head.count()) === 1);
    await one.shot(world.shots, '93-online');
    const context = two.page.context();
    world.tabs.delete(two);
    await two.page.close();
    await until('no dot', async () => (await row.count()) === 0 && (await head.count()) === 0);
    await world.memberIn(ROOM, 2, { context });
    await until('both again', async () => (await row.count()) === 1 && (await head.count()) === 1);
  }],

  ['a purchase in one tab rings in the other, and the notification opens the trade', async (world) => {
    const { buyer, seller, productId } = await offered(world);
    await buyer.page.click('#buy');
    await buyer.page.click('#dialog-yes');
    await Promise.all([
      until('the buyer', async () => /구매 완료\s+데이터 0\.2GB를 700원에 구매했습니다/.test(await buyer.text('#toast'))),
      until('the seller', async () => /상품 품절|판매 완료/.test(await seller.text('#toast'))),
      until('of both', async () => (await badge(seller)) === '2'),
    ]);
    await until('the balance follows', async () => !/^50,000원$/.test(await seller.text('.nav .balance')));
    await seller.shot(world.shots, '95-sold');

    await buyer.page.click('#bell');
    await buyer.page.click('[data-notification] a >> nth=0');
    await until('the purchase is marked', async () => (await buyer.page.locator('#purchases [data-trade][aria-current="true"]').count()) === 1);
    assert.match(await buyer.text('#purchases [aria-current="true"]'), /^0\.2GB/);
    assert.equal(await buyer.page.evaluate(() => document.activeElement.dataset.trade), new URLSearchParams(new URL(buyer.page.url()).hash.split('?')[1]).get('trade'));
    assert.ok(await buyer.page.locator('#notifications').isHidden());
    await buyer.shot(world.shots, '96-trade');
    await buyer.page.reload();
    await until('a reload keeps it', async () => (await buyer.page.locator('#purchases [data-trade][aria-current="true"]').count()) === 1);

    await seller.page.click('#bell');
    await seller.page.click('[data-notification] a:has-text("판매 완료")');
    await until('the sale is marked', async () => (await seller.page.locator('#cash [data-trade][aria-current="true"]').count()) === 1);
    await seller.page.click('#bell');
    await seller.page.click('[data-notification] a:has-text("상품 품절")');
    await until('the offer is open', async () => /판매 완료/.test(await seller.text('#offer .hero')));
    assert.ok(seller.page.url().endsWith(`#/market/data/${productId}`));
  }],

  ['a notification and a trade lead to the conversation', async (world) => {
    const { buyer, seller } = await offered(world);
    await buyer.page.click('#buy');
    await buyer.page.click('#dialog-yes');
    await Promise.all([
      until('the buyer', async () => /0\.2GB를 700원에/.test(await buyer.text('#toast'))),
      until('the seller', async () => (await badge(seller)) === '2'),
    ]);
    await buyer.page.click('#bell');
    await buyer.page.click('.notification-talk >> nth=0');
    await buyer.page.waitForSelector('#conversation:not([hidden])');
    const room = buyer.page.url();
    await buyer.send('잘 받았어요');
    await buyer.shows('잘 받았어요');
    await buyer.page.click('#bell');
    await buyer.page.click('[data-notification] a >> nth=0');
    await buyer.page.click('.trade-ask');
    await until('the same room', async () => buyer.page.url() === room);
    await seller.page.click('#bell');
    await seller.page.click('.notification-talk:has-text("구매자와 대화하기")');
    await until('the seller is in it', async () => seller.page.url() === room);
    await seller.shows('잘 받았어요');
  }],

  ['the bell fits a phone and a desktop, in both languages', async (world) => {
    await post(world.server, novelty(1), booking('started'));
    for (const [colorScheme, locale, options] of [['light', 'ko-KR', phone(360)], ['dark', 'en-US', phone(390)], ['dark', 'en-US', DESKTOP]]) {
      const tab = await world.member(1, { ...options, colorScheme, locale });
      const { width } = options.viewport;
      await until('the booking', async () => !(await tab.page.locator('#bookings').isHidden()));
      await tab.page.click('#bell');
      await until('the list', async () => (await tab.page.locator('[data-notification]').count()) >= 2);
      await fits(tab);
      await isNamed(tab);
      if (width < 720) await isTouchable(tab);
      await tab.shot(world.shots, `94-panel-${width}-${colorScheme}`);
      await tab.page.click('#notifications-close');
      await world.close(tab);
    }
  }],
];

/** An offer of a seller, open before a buyer. The buyer has notifications of the first start, the seller none. */
async function offered(world) {
  const member = await Member.logIn(world.server, SELLER);
  await member.offerData({ price: 700, dataAmount: 0.2, isSplitType: false });
  const [buyer, seller] = [await world.member(BUYER, DESKTOP), await world.member(SELLER, DESKTOP)];
  await buyer.page.click('#offers [data-offer] >> nth=0');
  await buyer.page.waitForSelector('#buy');
  const productId = Number(await buyer.page.getAttribute('#offers [data-offer] >> nth=0', 'data-offer'));
  return { buyer, seller, productId };
}

/** The shown count of unread notifications; empty without any. */
export async function badge(tab) {
  const [text = ''] = await tab.page.locator('#bell .badge').allInnerTexts();
  return text;
}

/** The server's count. */
async function unread(world, memberId) {
  const member = await Member.logIn(world.server, memberId);
  return (await member.call('GET', '/api/notifications/unread-count')).unreadCount;
}

/** In the page: counts the notices that are shown from now on. */
function countToasts() {
  window.toasts = 0;
  const count = (changes) => {
    window.toasts += changes.flatMap(({ addedNodes }) => [...addedNodes]).filter((node) => node.classList?.contains('toast-main')).length;
  };
  new MutationObserver(count).observe(document.getElementById('toast'), { childList: true });
}
