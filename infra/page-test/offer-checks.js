// From an offer to its seller and back: where a login leads, what a room is about, what lists say of amounts and hours.

import assert from 'node:assert/strict';
import { isNamed, shifted } from './layout.js';
import { until } from './until.js';
import { DESKTOP } from './world.js';

export const checks = [
  ['a demo login leads to the market, and no half of the window is empty', async (world) => {
    const tab = await world.open(DESKTOP);
    await tab.logIn(6);
    await tab.page.waitForSelector('#offer .seller');
    assert.equal(await tab.page.locator('#chat').isVisible(), false);
    // The first offer of the list is shown beside it, and the list keeps the address.
    const first = await tab.page.getAttribute('#offers [data-offer] >> nth=0', 'aria-current');
    assert.equal(first, 'true');
    await isFilled(tab, '.market .pane-list', '#offer');
    await tab.shot(world.shots, '50-landing');
    await tab.page.click('#to-chat');
    await tab.page.waitForSelector('#messages .message');
    await isFilled(tab, '.rooms', '.conversation');
    await tab.page.click('#to-mine');
    await tab.page.waitForSelector('.make');
    await isFilled(tab, '.mine .pane-list', '#mine-form');
  }],

  ['amounts are large, and no icon is repeated', async (world) => {
    const tab = await world.member(6, DESKTOP);
    const sizes = await tab.page.$$eval('#offers .tile-amount', (all) => all.map((one) => Number.parseFloat(getComputedStyle(one).fontSize)));
    const price = await tab.page.$eval('#offers .tile-price', (one) => Number.parseFloat(getComputedStyle(one).fontSize));
    assert.ok(sizes.length > 5 && sizes.every((size) => size >= 1.7 * price), `${sizes} beside ${price}`);
    assert.equal(await tab.page.locator('#offers .tile .icon').count(), 0);
  }],

  ['closed spots say when they open, and none closes when it opens', async (world) => {
    const tab = await world.open(DESKTOP);
    const rows = new Map();
    tab.page.on('response', async (response) => {
      if (!response.url().includes('/api/products/wifi?')) return;
      for (const row of (await response.json()).data.data) rows.set(row.productId, row);
    });
    await tab.logIn(6);
    await tab.go('#/market/wifi');
    await until('the list is read', async () => {
      await tab.page.evaluate(() => (document.getElementById('offers').scrollTop = 1e6));
      return rows.size === 50 && (await tab.page.locator('#offers [data-offer]').count()) === 50;
    });
    const shown = await tab.page.$$eval('#offers [data-offer]', (all) => all.map((one) => [Number(one.dataset.offer), one.querySelector('.tag').textContent]));
    const clock = (text) => text.match(/(\d\d:\d\d):\d\d/)[1];
    for (const [id, text] of shown) {
      const row = rows.get(id);
      const [opens, closes] = [clock(row.startTime), clock(row.endTime)];
      assert.notEqual(opens, closes, row.title);
      const allDay = opens === '00:00' && closes === '23:55';
      const open = allDay ? '영업 중 · 24시간' : `영업 중 · ${closes}까지`;
      assert.equal(text, row.open ? open : `${opens}에 열어요`, row.title);
    }
    assert.ok([...rows.values()].some((row) => !row.open), 'some are closed at every hour');
    await tab.shot(world.shots, '51-wifi-hours');
  }],

  ['what is chosen is in the address: a reload and the way back keep it', async (world) => {
    const tab = await world.member(6, DESKTOP);
    await tab.go('#/market/wifi');
    await tab.page.selectOption('#choice-place', '5');
    await tab.page.selectOption('#choice-sort', 'PRICE_ASC');
    await until('both are in the address', async () => /place=5&sort=PRICE_ASC/.test(tab.page.url()));
    await tab.page.reload();
    await tab.page.waitForSelector('#offers [data-offer]');
    assert.equal(await tab.page.inputValue('#choice-place'), '5');
    assert.equal(await tab.page.inputValue('#choice-sort'), 'PRICE_ASC');
    await tab.page.click('#offers [data-offer] >> nth=2');
    await until('the offer is in the address', async () => /wifi\/\d+\?place=5/.test(tab.page.url()));
    await tab.page.goBack();
    await tab.page.goBack();
    await until('the sort is the one before', async () => (await tab.page.inputValue('#choice-sort')) === 'DISTANCE_ASC');
    assert.equal(await tab.page.inputValue('#choice-place'), '5');
  }],

  ['the head of a room says what it is about, and leads there', async (world) => {
    const tab = await world.memberIn(1, 1, DESKTOP);
    await until('amount and price', async () => /모바일 데이터 0\.5GB\s+825원 · 100MB당 165원/.test(await tab.text('#about')));
    await tab.shot(world.shots, '52-room-about');
    await tab.enter(2);
    await until('title, price and hours', async () => /판다커피 연남점\s+10분 300원 · 10:00~22:00/.test(await tab.text('#about')));
    await tab.enter(2 ** 30);
    assert.equal(await tab.page.locator('#about').isVisible(), false);
    await tab.enter(2);
    await tab.page.click('#about a');
    await until('the offer is shown', async () => (await tab.page.locator('#offer .hero h3').allInnerTexts())[0] === '판다커피 연남점');
  }],

  ['a sold out or withdrawn offer stays in the head of its room', async (world) => {
    const tab = await world.open(DESKTOP);
    // The answer of an offer that is gone.
    tab.expect(/status of 400/);
    const path = '**/api/products/mobile-data/1';
    await tab.page.route(path, async (route) => {
      const response = await route.fetch();
      const answer = await response.json();
      await route.fulfill({ json: { ...answer, data: { ...answer.data, remainAmount: 0, price: 0, productState: 'SOLD_OUT' } } });
    });
    await tab.logIn(1);
    await tab.enter(1);
    await until('it is sold out', async () => /모바일 데이터\s+판매 완료/.test(await tab.text('#about')));
    await tab.page.unroute(path);
    await tab.page.route(path, (route) => route.fulfill({ status: 400, json: { code: 3003, message: 'gone' } }));
    await tab.page.reload();
    await until('it is gone', async () => /모바일 데이터\s+판매 종료/.test(await tab.text('#about')));
    await tab.shot(world.shots, '53-room-gone');
    await tab.page.click('#about a');
    await until('the offer says so, too', async () => /판매가 끝난 상품이에요/.test(await tab.text('#offer')));
  }],

  ['one asks a seller, and the conversation begins', async (world) => {
    const tab = await world.member(7, DESKTOP);
    await tab.go('#/market/wifi/2');
    const ask = '**/api/products/2/chat-room';
    // The answer while the chat is away.
    tab.expect(/status of 503/);
    await tab.page.waitForSelector('button.ask-seller');
    await tab.page.route(ask, (route) => route.fulfill({ status: 503, json: { code: 1, message: 'away' } }));
    await tab.page.click('button.ask-seller');
    await until('that it is away is said', async () => /지금은 채팅을 시작할 수 없어요/.test(await tab.text('#offer .offer-actions [role="alert"]')));
    await tab.page.unroute(ask);
    await tab.page.route(ask, (route) => route.abort());
    await tab.page.click('button.ask-seller');
    await until('that nobody answers, too', async () => /서버에 연결하지 못했어요/.test(await tab.text('#offer .offer-actions [role="alert"]')));
    await tab.page.unroute(ask);
    await tab.page.click('button.ask-seller');
    await tab.page.waitForSelector('#conversation:not([hidden])');
    const room = tab.page.url().match(/#\/room\/(\d+)/)[1];
    await until('the room is about the offer', async () => /판다커피 연남점/.test(await tab.text('#about')));
    await tab.send('안녕하세요, 오늘 이용할 수 있나요?');
    await tab.shows('안녕하세요, 오늘 이용할 수 있나요?');
    await tab.shot(world.shots, '54-asked');
    // Once more: it is the same conversation.
    await tab.go('#/market/wifi/2');
    await tab.page.click('a.ask-seller');
    await until('the same room', async () => tab.page.url().endsWith(`#/room/${room}`));
  }],

  ['nobody asks themselves: own offers can be edited', async (world) => {
    const tab = await world.member(1, DESKTOP);
    await tab.go('#/market/wifi/2');
    await tab.page.waitForSelector('.edit-offer');
    assert.equal(await tab.page.locator('.ask-seller').count(), 0);
    assert.match(await tab.text('#offer .offer-actions'), /박도윤 님과 대화하기/);
  }],

  ['nothing moves by itself while it loads', async (world) => {
    for (const viewport of [{ width: 1280, height: 800 }, { width: 390, height: 844 }]) {
      const tab = await world.member(1, { viewport });
      for (const hash of ['#/market/data', '#/room/1', '#/mine']) {
        await tab.go(hash);
        await tab.page.reload();
        await tab.connected();
        await until(`${hash} is shown`, async () => (await tab.page.locator('.skeleton:visible').count()) === 0);
        const sum = await shifted(tab);
        assert.ok(sum < 0.1, `${hash} at ${viewport.width}: ${sum}`);
      }
      await world.close(tab);
    }
  }],

  ['everything that is pressed has a name, and keys are enough', async (world) => {
    const tab = await world.member(6, DESKTOP);
    for (const hash of ['#/market/data', '#/market/wifi/2', '#/chat', '#/mine', '#/mine/new/data', '#/mine/new/wifi', '#/me']) {
      await tab.go(hash);
      await until(`${hash} is shown`, async () => (await tab.page.locator('.skeleton:visible').count()) === 0);
      await isNamed(tab);
    }
    await tab.go('#/market/data');
    // Until the list is there, other things are next to the choice of its order.
    await tab.page.waitForSelector('#offers [data-offer][aria-current="true"]');
    await tab.quiet();
    await tab.page.focus('#choice-sort');
    await tab.page.keyboard.press('Tab'); // The scrap finder,
    await tab.page.keyboard.press('Tab'); // the list,
    await tab.page.keyboard.press('Tab'); // and its first offer.
    await tab.page.keyboard.press('Tab');
    const second = await tab.page.evaluate(() => document.activeElement.dataset.offer);
    assert.equal(second, await tab.page.getAttribute('#offers [data-offer] >> nth=1', 'data-offer'));
    await tab.page.keyboard.press('Enter');
    await until('the second offer is open', async () => tab.page.url().endsWith(`#/market/data/${second}`));
  }],
];

/** Both parts are shown, lie beside each other, and fill the window's height. */
async function isFilled(tab, list, detail) {
  const [left, right] = await Promise.all([list, detail].map((part) => tab.page.locator(part).boundingBox()));
  const { height, width } = tab.page.viewportSize();
  assert.ok(left.x + left.width <= right.x + 1, `${list} beside ${detail}`);
  assert.ok(right.x + right.width >= width - 1, `${detail} reaches the edge`);
  for (const one of [left, right]) assert.ok(one.height >= height - 1 && one.width >= 280, JSON.stringify(one));
  const text = await tab.text(detail);
  assert.ok(text.length > 40, `${detail} says little: ${text}`);
}
