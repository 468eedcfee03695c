// Receipts: what they show in both languages, and how they are printed.

import assert from 'node:assert/strict';
import { fits, isNamed, isTouchable } from './layout.js';
import { Member } from './member.js';
import { until } from './until.js';
import { DESKTOP, phone } from './world.js';

const SELLER = 8;
const BUYER = 7;
const OTHER = 6;

const HANGUL = /[가-힣]/;

export const checks = [
  ['receipt of a purchase is complete, in Korean and English', async (world) => {
    const { bought, name, seller } = await purchase(world);
    const tab = await receiptTab(world, BUYER, bought);
    assert.equal(await tab.text('#receipt h1'), '구매 영수증');
    const facts = await tab.text('.receipt-facts');
    for (const part of [`회원\n${name}`, `판매자\n${seller}`]) assert.ok(facts.includes(part), `${part} in ${facts}`);
    assert.match(facts, new RegExp(`번호\n\\d{8}-0*${bought}\n`));
    assert.match(facts, /거래 일시\n\d+년 \d+월 \d+일 오[전후] \d+:\d\d/);
    assert.match(await tab.text('#receipt tbody'), /^모바일 데이터\s+0\.2GB\s+1,000원$/);
    assert.match(await tab.text('.receipt-sums'), /결제 금액\s+1,000원$/);
    assert.match(await tab.page.title(), new RegExp(`^구매 영수증 \\d{8}-0*${bought}$`));
    await isNamed(tab);
    await tab.shot(world.shots, '100-receipt');

    await tab.page.click('#receipt-language');
    await until('it is English', async () => (await tab.page.getAttribute('html', 'lang')) === 'en');
    await tab.page.waitForSelector('#receipt[aria-busy="false"] h1');
    assert.equal(await tab.text('#receipt h1'), 'Receipt of a purchase');
    assert.match(await tab.text('#receipt tbody'), /^Mobile data\s+0\.2 GB\s+₩1,000$/);
    const labels = await tab.page.locator('#receipt :is(h1, dt, th, .receipt-note), .receipt-bar > :not(#receipt-language)').allInnerTexts();
    assert.ok(labels.length > 8, String(labels));
    assert.deepEqual(labels.filter((text) => HANGUL.test(text)), []);
    await tab.shot(world.shots, '101-receipt-en');
  }],

  ['receipt is printed on one page, without what leads elsewhere', async (world) => {
    const { bought, sold } = await purchase(world);
    for (const [member, trade] of [[BUYER, bought], [SELLER, sold]]) {
      const tab = await receiptTab(world, member, trade, { colorScheme: 'dark' });
      await printed(tab);
      await tab.page.emulateMedia({ media: 'screen' });
      // As the button does; the dialog itself is the browser's.
      await tab.page.evaluate(() => {
        window.print = () => document.body.setAttribute('data-printed', '');
      });
      await tab.page.click('#receipt-print');
      await tab.page.waitForSelector('body[data-printed]');
      await world.close(tab);
    }
  }],

  ['receipt of a combination names its sellers, and twenty offers fit on one page', async (world) => {
    const buyer = await Member.logIn(world.server, BUYER);
    const offers = [];
    for (const id of [SELLER, OTHER]) {
      const seller = await Member.logIn(world.server, id);
      const { data: left } = await seller.call('GET', '/api/members/selling-data');
      if (left > 1.9) continue;
      await seller.offerData({ price: 10, dataAmount: 0.1, isSplitType: false });
    }
    const { data: rows } = await buyer.call('GET', '/api/products/mobile-data?size=100&productSortOption=PRICE_ASC');
    for (const row of rows) {
      const { myProduct } = await buyer.call('GET', `/api/products/mobile-data/${row.productId}`);
      if (!myProduct && (row.splitType || row.remainAmount === 0.1)) offers.push(row);
    }
    const { data: before } = await buyer.call('GET', '/api/members/buying-data');
    const parts = offers.slice(0, Math.round((2 - before) * 10));
    assert.ok(parts.length >= 2, `${parts.length} offers`);
    const combinations = parts.map(({ productId }) => ({ productId, mobileDataId: productId, purchaseAmount: 0.1 }));
    const totalPrice = parts.reduce((sum, row) => sum + (row.splitType ? row.pricePer100MB : row.price), 0);
    const { tradeId } = await buyer.post('/api/trades/mobile-data/scrap', { totalAmount: parts.length / 10, totalPrice, combinations });
    const tab = await receiptTab(world, BUYER, tradeId);
    assert.equal(await tab.page.locator('#receipt tbody tr').count(), parts.length);
    assert.ok(await tab.page.locator('.receipt-more').count() > 0, 'the sellers');
    await tab.page.evaluate((count) => {
      const body = document.querySelector('#receipt tbody');
      while (body.rows.length < count) body.append(body.rows[0].cloneNode(true));
    }, 20);
    await printed(tab);
    await tab.page.emulateMedia({ media: 'screen' });
    await tab.shot(world.shots, '102-receipt-combination');
  }],

  ['receipt fits a phone', async (world) => {
    const { bought } = await purchase(world);
    const tab = await receiptTab(world, BUYER, bought, phone(360));
    await fits(tab);
    await isTouchable(tab);
    await tab.shot(world.shots, '103-receipt-phone');
  }],

  ['receipt is shown to its own member only', async (world) => {
    const { bought } = await purchase(world);
    for (const trade of [bought, 2_147_483_647, 'x']) {
      const tab = await receiptTab(world, OTHER, trade);
      tab.expect(/status of 400/);
      assert.match(await tab.text('#receipt'), /^내 거래 중에 이런 거래가 없어요/);
      assert.ok(await tab.page.isDisabled('#receipt-print'));
      await world.close(tab);
    }
    const tab = await world.blank(await world.browserOf(DESKTOP));
    await tab.page.goto(`${world.server.url}/receipt.html?trade=${bought}`);
    await tab.page.waitForSelector('#receipt[aria-busy="false"]');
    assert.match(await tab.text('#receipt'), /로그인하면/);
  }],
];

/** 0.2 GB of a split offer for 1,000 won: the trades of both sides, and their names. */
async function purchase(world) {
  const seller = await Member.logIn(world.server, SELLER);
  await seller.offerData({ price: 1_000, dataAmount: 0.2, isSplitType: true });
  const { data: [{ productId }] } = await seller.call('GET', '/api/selling-products?productState=ACTIVE&size=1');
  const buyer = await Member.logIn(world.server, BUYER);
  const order = { productId, mobileDataId: productId, dataAmount: 0.2 };
  const { tradeId: bought } = await buyer.post('/api/trades/mobile-data/default', order);
  const [year, month] = new Date(Date.now() + 9 * 3_600_000).toISOString().split('-').map(Number);
  const { cashHistorySummary } = await seller.call('GET', `/api/trades/cash-history?year=${year}&month=${month}&size=1`);
  const sold = cashHistorySummary.data[0].tradeId;
  return { bought, sold, name: buyer.login.member.name, seller: seller.login.member.name };
}

/** A member's tab at the receipt of this trade. */
async function receiptTab(world, memberId, trade, options = DESKTOP) {
  const { session } = await Member.logIn(world.server, memberId);
  const tab = await world.blank(await world.browserOf(options));
  await tab.page.addInitScript((kept) => sessionStorage.setItem('dapanda.session', kept), JSON.stringify(session));
  await tab.page.goto(`${world.server.url}/receipt.html?trade=${trade}`);
  await tab.page.waitForSelector('#receipt[aria-busy="false"]');
  return tab;
}

/** On paper it is one page, dark on white, and nothing leads elsewhere. */
async function printed(tab) {
  await tab.page.emulateMedia({ media: 'print' });
  assert.equal(await tab.page.locator('.receipt-bar').isVisible(), false);
  assert.equal(await tab.page.locator('a:visible, button:visible').count(), 0);
  assert.equal(await tab.page.$eval('#receipt', (sheet) => getComputedStyle(sheet).backgroundColor), 'rgb(255, 255, 255)');
  assert.equal(await tab.page.$eval('#receipt', (sheet) => getComputedStyle(sheet).color), 'rgb(0, 0, 0)');
  const pdf = await tab.page.pdf({ preferCSSPageSize: true });
  assert.equal((pdf.toString('latin1').match(/\/Type\s*\/Page\b/g) ?? []).length, 1);
  assert.match(pdf.toString('latin1'), /\/MediaBox \[0 0 59[45](\.\d+)? 84[12](\.\d+)?\]/);
}
