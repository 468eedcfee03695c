// Purchases: order, payment, texts of refusals, the scrap finder, balance, limits and histories.

import assert from 'node:assert/strict';
import { fits, isNamed, isTouchable } from './layout.js';
import { Member } from './member.js';
import { until } from './until.js';
import { DESKTOP, phone } from './world.js';

/** Buys and sells nothing at the first start: 2 GB may be bought, and 0.2 GB offered. */
const FRESH = 8;

const BUYER = 7;

const DATA = '/api/products/mobile-data';
const PURCHASE = '/api/trades/mobile-data/default';
const WIFI_PURCHASE = '/api/trades/wifi';
const SCRAP = '/api/trades/mobile-data/scrap';

/** The opening balance of every demo member. */
const OPENING = 50_000;

export const checks = [
  ['a part of a split offer is bought, and balance, offer and histories follow', async (world) => {
    const { tab } = await offered(world, { price: 1_000, dataAmount: 0.2, isSplitType: true });
    const orders = ordersOf(tab);
    const before = await balance(tab);
    await tab.page.waitForSelector('#buy-amount');
    assert.match(await tab.text('#offer .buy-shown'), /0\.2\s*GB\s+1,000원/);
    await tab.page.focus('#buy-amount');
    await tab.page.keyboard.press('ArrowLeft');
    await until('the price follows', async () => /0\.1\s*GB\s+500원/.test(await tab.text('#offer .buy-shown')));
    assert.match(await tab.text('#buy'), /^500원에 구매하기$/);
    assert.match(await tab.text('#buy-hint'), /이번 달에 [\d.]+GB 더 살 수 있어요/);
    await tab.page.click('#buy');
    await tab.page.waitForSelector('dialog[open]');
    assert.match(await tab.text('dialog'), /0\.1GB, 구매할까요\?[^]*가격\s+500원[^]*구매 후 잔액/);
    await tab.shot(world.shots, '80-confirm');
    await tab.page.keyboard.press('Escape');
    await tab.page.waitForSelector('dialog', { state: 'detached' });
    assert.equal(orders.length, 0, 'leaving the question buys nothing');
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('it is said', async () => /0\.1GB 구매했어요/.test(await tab.text('#offer .bought')));
    await until('the balance is less', async () => (await balance(tab)) === before - 500);
    await until('less is left', async () => /0\.1\s*GB/.test(await tab.text('#offer .hero-amount')));
    assert.match(await tab.text('#offers .tile[aria-current] .tile-amount'), /0\.1\s*GB/);
    await tab.shot(world.shots, '81-bought');
    const [{ key, body }] = orders;
    assert.equal(orders.length, 1);
    assert.ok(key.length >= 16, key);
    assert.deepEqual([body.dataAmount, body.price], [0.1, 500]);
    await tab.page.click('#offer .bought a');
    await until('it is the newest purchase', async () => /^0\.1GB\s+데이터 구매/.test(await tab.text('#purchases [data-trade] >> nth=0')));
    await until('and the newest of the cash history', async () => /데이터 0\.1GB 구매[^]*−500원/.test(await tab.text('#cash [data-trade] >> nth=0')));
  }],

  ['a whole offer is bought as a whole, and is sold out then', async (world) => {
    const { tab, productId } = await offered(world, { price: 700, dataAmount: 0.2, isSplitType: false });
    await tab.page.waitForSelector('#buy');
    assert.equal(await tab.page.locator('#buy-amount').count(), 0);
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('it is sold out', async () => /판매 완료/.test(await tab.text('#offer .hero')));
    assert.equal(await tab.page.locator('#buy').count(), 0);
    assert.equal(await tab.page.locator(`[data-offer="${productId}"]`).count(), 0, 'the list leaves it out');
    await until('the answer stays', async () => /0\.2GB 구매했어요/.test(await tab.text('#offer .bought')));
  }],

  ['what others bought meanwhile is not paid', async (world) => {
    const { tab, productId } = await offered(world, { price: 700, dataAmount: 0.1, isSplitType: false });
    await tab.page.waitForSelector('#buy');
    const before = await balance(tab);
    const other = await Member.logIn(world.server, 6);
    await buy(other, productId, null);
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('it says so', async () => /그사이 모두 팔렸어요/.test(await tab.text('#offer .buy-outcome')));
    await until('and shows it', async () => /판매 완료/.test(await tab.text('#offer .hero')));
    assert.equal(await balance(tab), before);
    assert.equal(tab.complaints.splice(0).length, 1, 'the browser notes the refusal');
  }],

  ['a price that has changed is shown and confirmed again', async (world) => {
    const { tab, seller, productId } = await offered(world, { price: 700, dataAmount: 0.2, isSplitType: false });
    await tab.page.waitForSelector('#buy');
    const orders = ordersOf(tab);
    const before = await balance(tab);
    await seller.call('PUT', DATA, { productId, price: 750, changedAmount: 0.2, isSplitType: false });
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('the new price is shown', async () => /700원에서 750원으로 바뀌었어요/.test(await tab.text('#dialog-text')));
    await tab.shot(world.shots, '82-price-changed');
    assert.equal(await balance(tab), before);
    await tab.page.click('#dialog-yes');
    await until('it is bought', async () => /구매했어요/.test(await tab.text('#offer .bought')));
    await until('for the new price', async () => (await balance(tab)) === before - 750);
    assert.deepEqual(orders.map(({ body }) => body.price), [700, 750]);
    assert.notEqual(orders[0].key, orders[1].key, 'another price is another intent');
    assert.equal(tab.complaints.splice(0).length, 1);
  }],

  ['too little cash and a reached limit are said before and after', async (world) => {
    const { tab } = await offered(world, { price: 90_000, dataAmount: 0.1, isSplitType: false }, FRESH, 1);
    await until('that cash is short', async () => /잔액이 [\d,]+원 부족해요/.test(await tab.text('#buy-hint')));
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('the refusal says it', async () => /잔액이 [\d,]+원 부족해요/.test(await tab.text('#offer .buy-outcome')));

    const member = await Member.logIn(world.server, 1);
    await buyUpTo(member, 2);
    await tab.page.click('#to-trades');
    await until('no more may be bought', async () => /0GB 더 살 수 있어요[^]*한 달 2GB 중 2GB 구매/.test(await tab.text('#trades-limits')));
    await tab.go('#/market/data/1');
    await until('the limit is said', async () => /이번 달에는 0GB 더 살 수 있어요/.test(await tab.text('#buy-hint')));
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('the refusal says it', async () => /한 달에 2GB까지 살 수 있어요/.test(await tab.text('#offer .buy-outcome')));
    await tab.shot(world.shots, '83-limit');
    assert.equal(tab.complaints.splice(0).length, 2);
  }],

  ['a purchase without an answer is repeated under its key, and paid once', async (world) => {
    const { tab } = await offered(world, { price: 600, dataAmount: 0.2, isSplitType: true });
    await tab.page.waitForSelector('#buy');
    const orders = ordersOf(tab);
    const before = await balance(tab);
    await tab.page.focus('#buy-amount');
    await tab.page.keyboard.press('ArrowLeft');
    await tab.page.route(`**${PURCHASE}`, async (route) => {
      await route.fetch();
      await route.abort();
    }, { times: 1 });
    for (let nth = 0; nth < 2; nth += 1) {
      await tab.page.click('#buy');
      await tab.page.click('#dialog-yes');
      await until('an outcome', async () => (await tab.text('#offer .buy-outcome')) !== '');
    }
    await until('it is bought', async () => /0\.1GB 구매했어요/.test(await tab.text('#offer .bought')));
    assert.equal(orders.length, 2);
    assert.equal(orders[0].key, orders[1].key);
    await until('it is paid once', async () => (await balance(tab)) === before - 300);
  }],

  ['time on Wi-Fi is booked for the price of its length', async (world) => {
    const { tab, productId } = await spot(world);
    const before = await balance(tab);
    await chooseTime(tab);
    assert.match(await tab.text('#offer .buy-shown'), /10:00~10:30\s+900원/);
    await tab.page.selectOption('#buy-length', '60');
    assert.match(await tab.text('#buy'), /^1,800원에 구매하기$/);
    await tab.page.selectOption('#buy-length', '30');
    const orders = ordersOf(tab, WIFI_PURCHASE);
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('it is said', async () => /조용한 서재 30분 구매했어요/.test(await tab.text('#offer .bought')));
    await until('it is paid', async () => (await balance(tab)) === before - 900);
    await tab.shot(world.shots, '88-booked');
    const [{ key, body }] = orders;
    assert.ok(key.length >= 16);
    assert.deepEqual([body.productId, body.wifiId, body.price], [productId, productId, 900]);
    assert.match(`${body.startTime} ${body.endTime}`, /^\d{4}-\d\d-\d\dT10:00:00 \d{4}-\d\d-\d\dT10:30:00$/);
    await tab.page.click('#to-trades');
    await until('it is the newest purchase', async () => /^조용한 서재\s+와이파이 구매 · 30분/.test(await tab.text('#purchases [data-trade] >> nth=0')));
  }],

  ['time on a hotspot is booked, too', async (world) => {
    const tab = await world.member(FRESH, DESKTOP);
    await tab.page.click('[data-kind="hotspot"]');
    await tab.page.click('.tile:has-text("시청 광장 핫스팟")');
    await tab.page.waitForSelector('#buy-day');
    await chooseTime(tab);
    const orders = ordersOf(tab, '/api/trades/hotspot');
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('it is paid', async () => (await balance(tab)) === OPENING - 360);
    assert.equal(orders[0].body.hotspotId, orders[0].body.productId);
    await tab.page.click('#to-trades');
    await until('it is the newest purchase', async () => /^시청 광장 핫스팟\s+핫스팟 구매 · 30분/.test(await tab.text('#purchases [data-trade] >> nth=0')));
  }],

  ['a taken time and another price of a spot are said', async (world) => {
    const { tab, seller, productId, form } = await spot(world);
    await chooseTime(tab);
    const day = await tab.page.inputValue('#buy-day');
    const other = await Member.logIn(world.server, 6);
    await other.post(WIFI_PURCHASE, { productId, wifiId: productId, startTime: `${day}T10:20:00`, endTime: `${day}T10:40:00` });
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('the time is taken', async () => /그 시간은 자리가 모두 찼어요/.test(await tab.text('#offer .buy-outcome')));
    await tab.shot(world.shots, '89-slot-taken');
    await tab.page.selectOption('#buy-start', '11:00');
    const { images, ...fields } = form;
    await seller.call('PUT', '/api/products/wifi', { ...fields, productId, price: 350, imageUrls: images });
    const before = await balance(tab);
    await tab.page.click('#buy');
    await tab.page.click('#dialog-yes');
    await until('the new price is shown', async () => /900원에서 1,050원으로 바뀌었어요/.test(await tab.text('#dialog-text')));
    await tab.page.click('#dialog-yes');
    await until('it is bought for that', async () => (await balance(tab)) === before - 1_050);
    assert.equal(tab.complaints.splice(0).length, 2);
  }],

  ['the balance is at every place, on a desktop and a phone', async (world) => {
    for (const options of [DESKTOP, phone(360)]) {
      const tab = await world.member(FRESH, options);
      for (const hash of ['#/market/data', '#/market/data/1', '#/scrap', '#/trades', '#/trades/cash', '#/mine', '#/mine/new/data', '#/me', '#/chat', '#/room/1073741824']) {
        await tab.go(hash);
        await until(`${hash} shows it`, async () => (await tab.page.locator('.balance:visible').allInnerTexts()).join().includes('50,000원'));
        assert.equal(await tab.page.locator('.balance:visible').count(), 1, hash);
      }
      await world.close(tab);
    }
  }],

  ['the scrap finder compares its combinations with the greedy choice, and buys one', async (world) => {
    const tab = await world.member(FRESH, DESKTOP);
    await tab.page.click('#to-scrap');
    await tab.page.waitForSelector('[data-scrap]');
    await setAmount(tab, '0.7');
    const prices = await pricesOf(tab);
    assert.ok(prices.length >= 2 && prices.length <= 5, String(prices));
    assert.deepEqual(prices, [...prices].sort((a, b) => a - b));
    const greedy = Number((await tab.text('.scrap-greedy .scrap-price')).replace(/\D/g, ''));
    assert.ok(greedy === 0 || greedy >= prices[0], `greedy ${greedy}, ${prices}`);
    const lengths = await tab.page.$$eval('.scrap-bar', (bars) => bars.map((bar) => bar.getBoundingClientRect().width));
    assert.ok(lengths.every((length) => length > 40), String(lengths));
    const sum = async () => {
      const texts = await tab.page.locator('.scrap-seller').allInnerTexts();
      return texts.map((text) => Number(text.match(/([\d.]+)GB/)[1])).reduce((all, one) => all + one, 0);
    };
    assert.equal((await sum()).toFixed(1), '0.7');
    await tab.shot(world.shots, '84-scrap');
    // The keyboard chooses the second.
    await tab.page.focus('.scrap-radio >> nth=0');
    await tab.page.keyboard.press('ArrowDown');
    await until('the second is chosen', async () => Number((await tab.text('#scrap-buy')).replace(/\D/g, '')) === prices[1]);
    assert.equal((await sum()).toFixed(1), '0.7');
    const orders = ordersOf(tab, SCRAP);
    await tab.page.click('#scrap-buy');
    await tab.page.click('#dialog-yes');
    await until('it is bought', async () => /자투리 0\.7GB[^]*구매했어요/.test(await tab.text('#scrap .bought')));
    await until('the balance is less', async () => (await balance(tab)) === OPENING - prices[1]);
    await until('and so is the limit', async () => /1\.3GB 더 살 수 있어요/.test(await tab.text('#scrap-hint')));
    const [{ key, body }] = orders;
    assert.ok(key.length >= 16);
    assert.deepEqual([body.totalAmount, body.totalPrice], [0.7, prices[1]]);
    await tab.page.click('#scrap .bought a');
    await until('it is one purchase', async () => /^0\.7GB\s+자투리 데이터 구매/.test(await tab.text('#purchases [data-trade] >> nth=0')));
    assert.match(await tab.text('#purchases-count'), /^1건$/);
    await until('and one row of cash', async () => (await tab.page.locator('#cash [data-trade]').count()) === 1);
  }],

  ['a combination that has changed brings a new quote, and nothing is paid', async (world) => {
    const tab = await world.member(FRESH, DESKTOP);
    await tab.go('#/scrap?amount=0.1');
    await tab.page.waitForSelector('[data-scrap]');
    const [price] = await pricesOf(tab);
    const first = await tab.page.getAttribute('.scrap-seller a >> nth=0', 'href');
    const productId = Number(first.match(/\d+$/)[0]);
    const other = await Member.logIn(world.server, (await sellerOf(world, productId)) === 1 ? 2 : 1);
    const { splitType, remainAmount } = await other.call('GET', `${DATA}/${productId}`);
    await buy(other, productId, splitType ? remainAmount : null);
    await tab.page.click('#scrap-buy');
    await tab.page.click('#dialog-yes');
    await until('it says so', async () => /결제하지 않았어요/.test(await tab.text('#scrap .buy-outcome')));
    const [now] = await pricesOf(tab);
    assert.ok(now >= price, `${now} after ${price}`);
    assert.notEqual(await tab.page.getAttribute('.scrap-seller a >> nth=0', 'href'), first);
    assert.equal(await balance(tab), OPENING);
    await tab.shot(world.shots, '85-scrap-changed');
    assert.equal(tab.complaints.splice(0).length, 1);
  }],

  ['histories show what was traded, by months with totals', async (world) => {
    const tab = await world.member(2, DESKTOP);
    await tab.page.click('#to-trades');
    await until('purchases of the first start', async () => (await tab.page.locator('#purchases [data-trade]').count()) >= 1);
    await until('what moved cash', async () => (await tab.page.locator('#cash [data-trade]').count()) >= 2);
    const changes = (await tab.page.locator('#cash .cash-change').allInnerTexts()).map(wonOf);
    const totals = (await tab.page.locator('#cash .totals dd').allInnerTexts()).map(wonOf);
    const sum = (all) => all.reduce((whole, one) => whole + one, 0);
    assert.equal(totals[4], sum(changes), `${totals} of ${changes}`);
    assert.equal(totals[1], sum(changes.filter((one) => one > 0)));
    assert.equal(totals[2], sum(changes.filter((one) => one < 0)));
    assert.equal(await balance(tab), OPENING + totals[4]);
    await tab.shot(world.shots, '86-trades');
    const present = await tab.text('#cash-month');
    assert.equal(await tab.page.locator('[data-month="after"]').count(), 0, 'the present month is the last');
    await tab.page.click('[data-month="before"]');
    await until('the month before is empty', async () => /이 달에는 거래가 없어요/.test(await tab.text('#cash')));
    assert.match(tab.page.url(), /month=\d{4}-\d\d$/);
    await tab.page.reload();
    await until('a reload keeps the month', async () => /이 달에는 거래가 없어요/.test(await tab.text('#cash')));
    await tab.page.click('[data-month="after"]');
    await until('it is the present one again', async () => (await tab.text('#cash-month')) === present && (await tab.page.locator('#cash [data-trade]').count()) >= 2);
  }],

  ['buying and histories fit a phone and a desktop, in both languages', async (world) => {
    const looks = [['light', 'ko-KR', phone(360)], ['dark', 'en-US', phone(390)], ['light', 'en-US', DESKTOP], ['dark', 'ko-KR', DESKTOP]];
    for (const [colorScheme, locale, options] of looks) {
      const tab = await world.member(2, { ...options, colorScheme, locale });
      const { width } = options.viewport;
      for (const [name, hash] of Object.entries({ part: '#/market/data/3', wifi: '#/market/wifi/2', scrap: '#/scrap?amount=1.2', trades: '#/trades', cash: '#/trades/cash' })) {
        await tab.go(hash);
        await tab.page.waitForSelector({ scrap: '[data-scrap]', trades: '#purchases [data-trade]', cash: '#cash [data-trade]' }[name] ?? '#offer .seller');
        await until(`${name} is shown`, async () => (await tab.page.locator('.skeleton:visible').count()) === 0);
        await fits(tab);
        await isNamed(tab);
        if (width < 720) await isTouchable(tab);
        await tab.shot(world.shots, `87-${name}-${width}-${colorScheme}-${locale.slice(0, 2)}`);
      }
      await world.close(tab);
    }
  }],
];

/** An offer of member 8, before a buyer's eyes: it is the newest of the list. */
async function offered(world, offer, sellerId = FRESH, buyerId = BUYER) {
  const seller = await Member.logIn(world.server, sellerId);
  await seller.offerData(offer);
  const tab = await world.member(buyerId, DESKTOP);
  await until('the balance', async () => (await balance(tab)) > 0);
  await tab.page.click('#offers [data-offer] >> nth=0');
  await tab.page.waitForSelector('#offer .seller');
  const productId = Number(await tab.page.getAttribute('#offers [data-offer] >> nth=0', 'data-offer'));
  return { tab, seller, productId };
}

/** A spot of member 8 with one place, before a buyer's eyes: it is the nearest of the list. */
async function spot(world) {
  const seller = await Member.logIn(world.server, FRESH);
  const form = {
    price: 300, title: '조용한 서재', content: '', address: '서울 중구', latitude: 37.5657, longitude: 126.9769,
    startTime: '2025-08-01T00:00:00', endTime: '2025-08-01T23:55:00', images: [], capacity: 1,
  };
  await seller.offerWifi(form);
  const tab = await world.member(BUYER, DESKTOP);
  await until('the balance', async () => (await balance(tab)) > 0);
  await tab.page.click('[data-kind="wifi"]');
  await tab.page.click('.tile:has-text("조용한 서재")');
  await tab.page.waitForSelector('#buy-day');
  const productId = Number(await tab.page.getAttribute('.tile:has-text("조용한 서재")', 'data-offer'));
  return { tab, seller, productId, form };
}

/** Tomorrow from 10:00 on, for half an hour. */
async function chooseTime(tab) {
  await tab.page.selectOption('#buy-day', { index: 1 });
  await tab.page.selectOption('#buy-start', '10:00');
  await tab.page.selectOption('#buy-length', '30');
}

async function sellerOf(world, productId) {
  const reader = await Member.logIn(world.server, FRESH);
  return (await reader.call('GET', `${DATA}/${productId}`)).memberId;
}

function buy(member, productId, dataAmount) {
  return member.post(PURCHASE, { productId, mobileDataId: productId, dataAmount });
}

/** Buys until no more than so many gigabytes are bought this month. */
async function buyUpTo(member, gigabytes) {
  const { data: bought } = await member.call('GET', '/api/members/buying-data');
  let units = Math.round((gigabytes - bought) * 10);
  const { data: rows } = await member.call('GET', `${DATA}?size=100&productSortOption=PRICE_ASC`);
  for (const row of rows) {
    const { myProduct } = await member.call('GET', `${DATA}/${row.productId}`);
    const left = Math.round(row.remainAmount * 10);
    if (myProduct || units === 0 || row.productId === 1 || (!row.splitType && left > units)) continue;
    const part = Math.min(left, units);
    await buy(member, row.productId, row.splitType ? part / 10 : null);
    units -= part;
  }
  assert.equal(units, 0, 'as much as may be bought');
}

/** The purchases that a tab sends: their keys and bodies. */
function ordersOf(tab, path = PURCHASE) {
  const orders = [];
  tab.page.on('request', (request) => {
    if (request.method() !== 'POST' || new URL(request.url()).pathname !== path) return;
    orders.push({ key: request.headers()['idempotency-key'], body: request.postDataJSON() });
  });
  return orders;
}

/** The shown balance. */
async function balance(tab) {
  const [text = ''] = await tab.page.locator('.balance:visible').allInnerTexts();
  return wonOf(text);
}

function wonOf(text) {
  const number = Number(text.replace(/[^\d]/g, ''));
  return text.includes('−') ? -number : number;
}

async function pricesOf(tab) {
  await until('the combinations', async () => (await tab.page.locator('.scrap-answers[aria-busy="false"] [data-scrap]').count()) > 0);
  return (await tab.page.locator('[data-scrap] .scrap-price').allInnerTexts()).map(wonOf);
}

/** Moves the slider as a hand does. */
async function setAmount(tab, value) {
  await tab.page.$eval('#scrap-amount', (slider, to) => {
    slider.value = to;
    slider.dispatchEvent(new Event('input'));
  }, value);
  await until('the address has it', async () => tab.page.url().endsWith(`#/scrap?amount=${value}`));
}
