// Cash in and out: charges through the payment page and what its outcomes look like, payouts, the cash history, receipts.

import assert from 'node:assert/strict';
import { fits, isNamed, isTouchable } from './layout.js';
import { Member } from './member.js';
import { until } from './until.js';
import { DESKTOP, phone } from './world.js';
import { texts as en } from '../standalone/web/js/texts-en.js';
import { texts as ko } from '../standalone/web/js/texts-ko.js';

/** Buys and sells nothing at the first start. */
const FRESH = 8;
const NAME = '윤채원';

/** Has bought and sold at the first start. */
const TRADER = 2;

const CHARGE = '/api/payments/charge';
const REFUND = '/api/payments/refund';

export const checks = [
  ['a card charges cash once, however often the page is loaded again', async (world) => {
    const tab = await atCharge(world);
    const before = await cashOf(world);
    const sent = bodiesOf(tab, CHARGE);
    await tab.page.click('[data-amount="5000"]');
    assert.equal(await tab.page.inputValue('#charge-amount'), '5000');
    assert.equal(await tab.page.getAttribute('[data-amount="5000"]', 'aria-pressed'), 'true');
    await tab.shot(world.shots, '100-charge');
    await toPayPage(tab);
    await tab.shot(world.shots, '101-pay-page');
    await payBy(tab, 'card');
    await hasOutcome(tab, 'CAPTURED');
    assert.match(await tab.text('.outcome'), /충전했어요[^]*5,000원/);
    await until('the balance', async () => (await shownCash(tab)) === before + 5_000);
    await until('it is the newest charge', async () => /5,000원[^]*충전 완료/.test(await tab.text('.charges [data-charge] >> nth=0')));
    await tab.shot(world.shots, '102-charged');
    assert.match(sent[0].orderId, /^order-[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    for (let nth = 0; nth < 2; nth += 1) {
      await tab.page.reload();
      await hasOutcome(tab, 'CAPTURED');
    }
    // The same member's other tab, at the same address.
    const other = await world.memberAt(new URL(tab.page.url()).hash, FRESH, tab.page.context());
    await hasOutcome(other, 'CAPTURED');
    // Away and back by the browser's button.
    await tab.page.click('#to-market');
    await tab.page.waitForSelector('#offers [data-offer]');
    await tab.page.goBack();
    await hasOutcome(tab, 'CAPTURED');
    assert.ok(sent.length >= 3, `${sent.length} requests`);
    assert.equal(await cashOf(world), before + 5_000);
    assert.equal((await chargesOf(world)).length, 1);
  }],

  ['two tabs that come back at once show the same charge', async (world) => {
    const tab = await atCharge(world);
    const before = await cashOf(world);
    await tab.page.fill('#charge-amount', '7700');
    await toPayPage(tab);
    const { href, hash } = await authorized(tab);
    const other = await world.memberAt('#/charge', FRESH, tab.page.context());
    await Promise.all([tab.page.goto(href), other.go(hash)]);
    await Promise.all([hasOutcome(tab, 'CAPTURED'), hasOutcome(other, 'CAPTURED')]);
    assert.equal(await cashOf(world), before + 7_700);
    assert.equal((await chargesOf(world)).filter(({ state }) => state === 'CAPTURED').length, 1);
  }],

  ['a payment that comes back in a tab without a session is charged, at once or after the login', async (world) => {
    const before = await cashOf(world);
    const tab = await world.open(DESKTOP);
    await tab.signIn('kakao', NAME);
    const pay = async (amount) => {
      await tab.go('#/charge');
      await tab.page.fill('#charge-amount', amount);
      await toPayPage(tab);
      const { href } = await authorized(tab);
      await tab.page.goBack();
      await tab.page.waitForSelector('#charge-amount');
      return href;
    };
    const [first, second] = [await pay('1100'), await pay('1200')];
    const app = await world.blank(tab.page.context());
    await app.page.goto(first);
    await hasOutcome(app, 'CAPTURED');
    assert.equal(await cashOf(world), before + 1_100);
    const other = await world.blank(await world.browserOf(DESKTOP));
    await other.page.goto(second);
    await other.page.click('[data-provider="kakao"]');
    await other.page.click(`a:has-text("${NAME}")`);
    await hasOutcome(other, 'CAPTURED');
    assert.equal(await cashOf(world), before + 2_300);
  }],

  ['a card that is declined charges nothing, and the page says what that means', async (world) => {
    const tab = await atCharge(world);
    const before = await cashOf(world);
    await tab.page.fill('#charge-amount', '1000');
    await toPayPage(tab);
    await payBy(tab, 'declined');
    await hasOutcome(tab, 'DECLINED');
    assert.match(await tab.text('.outcome'), /승인되지 않았어요[^]*충전되지 않았어요/);
    await until('the list has it', async () => /1,000원[^]*승인 거절/.test(await tab.text('.charges [data-charge] >> nth=0')));
    await tab.shot(world.shots, '103-declined');
    await tab.page.reload();
    await hasOutcome(tab, 'DECLINED');
    assert.equal(await cashOf(world), before);
    tab.expect(/400 \(Bad Request\)/);
    await tab.page.click('.outcome a');
    await tab.page.waitForSelector('#charge-amount');
  }],

  ['a payment that is given up comes back without a charge, and codes are put into words', async (world) => {
    const tab = await atCharge(world);
    const sent = bodiesOf(tab, CHARGE);
    await tab.page.fill('#charge-amount', '1000');
    await toPayPage(tab);
    await tab.page.click('button[value="cancel"]');
    await tab.page.waitForSelector('.outcome[data-outcome="FAILED"]');
    assert.match(await tab.text('.outcome'), /결제를 취소했어요[^]*결제되지 않았어요/);
    await until('the list has the order', async () => /1,000원[^]*결제하지 않음/.test(await tab.text('.charges [data-charge] >> nth=0')));
    await tab.page.goto(`${world.server.url}/?charge=failed&code=REJECT_CARD_COMPANY&message=call%20us`);
    await until('the reason', async () => /카드사가 거절했어요[^]*REJECT_CARD_COMPANY/.test(await tab.text('.outcome')));
    assert.doesNotMatch(await tab.text('.outcome'), /call us/, 'the address has no say in what the page tells');
    await tab.page.goto(`${world.server.url}/?charge=failed&code=<b>call`);
    await until('no more than that', async () => /결제하지 못했어요/.test(await tab.text('.outcome')) && !/call/.test(await tab.text('.outcome')));
    assert.deepEqual(sent, []);
  }],

  ['another amount in the address is refused, and nothing is charged', async (world) => {
    const tab = await atCharge(world);
    const before = await cashOf(world);
    const sent = bodiesOf(tab, CHARGE);
    await tab.page.fill('#charge-amount', '1000');
    await toPayPage(tab);
    const { href } = await authorized(tab);
    await tab.page.goto(href.replace('amount=1000', 'amount=100000'));
    await hasOutcome(tab, 'AMOUNT');
    assert.match(await tab.text('.outcome'), /금액이 달라요[^]*충전되지 않았어요/);
    assert.deepEqual(sent, [], 'it is not confirmed');
    await tab.page.goto(href.replace(/paymentKey=[^&]*/, 'paymentKey='));
    await hasOutcome(tab, 'INVALID');
    assert.equal(await cashOf(world), before);
    // The payment itself is still good.
    await tab.page.goto(href);
    await hasOutcome(tab, 'CAPTURED');
    assert.equal(await cashOf(world), before + 1_000);
  }],

  ['a transfer is waited for, and charges when it comes', async (world) => {
    const tab = await atCharge(world);
    const before = await cashOf(world);
    await tab.page.fill('#charge-amount', '3000');
    await toPayPage(tab);
    await payBy(tab, 'transfer');
    await hasOutcome(tab, 'WAITING');
    assert.match(await tab.text('.outcome'), /입금을 기다리고 있어요[^]*3,000원[^]*입금 기한\s+\d+년/);
    await until('the list says so', async () => /3,000원[^]*입금 대기/.test(await tab.text('.charges [data-charge] >> nth=0')));
    await tab.shot(world.shots, '104-waiting');
    assert.equal(await cashOf(world), before);
    const [accounts] = await Promise.all([tab.page.waitForEvent('popup'), tab.page.click('#to-accounts')]);
    await accounts.click('button[value="pay"]');
    await accounts.waitForURL('**/fake/toss/accounts');
    await accounts.close();
    await hasOutcome(tab, 'CAPTURED');
    await until('the balance', async () => (await shownCash(tab)) === before + 3_000);
  }],

  ['a charge without an answer is being verified, and is found without another payment', async (world) => {
    const tab = await atCharge(world);
    const before = await cashOf(world);
    await tab.page.fill('#charge-amount', '2000');
    await toPayPage(tab);
    const verifying = { code: 5008, message: '' };
    await tab.page.route(`**${CHARGE}`, async (route) => {
      await route.fetch();
      await route.fulfill({ status: 202, contentType: 'application/json', body: JSON.stringify(verifying) });
    });
    // The first question about it has no news yet.
    const list = { data: [], pageInfo: { nextCursorId: null, hasNext: false, size: 100 } };
    await tab.page.route('**/api/payments/charges?size=100*', (route) => route.fulfill({ json: { code: 0, message: '', data: list } }), { times: 1 });
    await payBy(tab, 'card');
    await until('it says not to pay again', async () => /다시 결제하지 마세요/.test(await tab.text('.outcome')));
    await hasOutcome(tab, 'CAPTURED');
    assert.equal(await cashOf(world), before + 2_000);
    assert.equal((await chargesOf(world)).length, 1);
  }],

  ['the form says what is wrong, and a server without a gateway what is missing', async (world) => {
    const tab = await atCharge(world);
    for (const wrong of ['', '0', '10000001', '1.5']) {
      await tab.page.fill('#charge-amount', wrong);
      await tab.page.click('#money .form .main');
      assert.match(await tab.text('#charge-amount-problem'), /1원부터 10,000,000원까지/, wrong);
      assert.equal(await tab.page.evaluate(() => document.activeElement.id), 'charge-amount');
    }
    await tab.page.route('**/api/payments/checkout', (route) => route.fulfill({ json: { code: 0, message: '', data: { available: false, payPage: null } } }));
    await tab.page.reload();
    await until('it says so', async () => /결제 서비스가 없어서 충전할 수 없어요/.test(await tab.text('#money')));
    assert.equal(await tab.page.locator('#charge-amount').count(), 0);
  }],

  ['cash is paid out once, and the payout has its state and its receipt', async (world) => {
    await charge(world, 4_000);
    const tab = await world.memberAt('#/refund', FRESH, await world.browserOf(DESKTOP));
    const before = await cashOf(world);
    const sent = bodiesOf(tab, REFUND);
    await tab.page.waitForSelector('#refund-amount');
    await tab.page.fill('#refund-amount', String(before + 1));
    await tab.page.click('#money .form .main');
    assert.match(await tab.text('#refund-amount-problem'), /까지 적어 주세요/);
    await tab.page.fill('#refund-amount', '4500');
    // The first answer gets lost on its way.
    await tab.page.route(`**${REFUND}`, async (route) => {
      await route.fetch();
      await route.abort();
    }, { times: 1 });
    await tab.page.click('#money .form .main');
    await tab.page.waitForSelector('dialog[open]');
    await tab.shot(world.shots, '105-refund');
    await tab.page.click('#dialog-yes');
    await until('it is not certain', async () => /두 번 출금되지 않아요/.test(await tab.text('#money')));
    await tab.page.reload();
    await tab.page.waitForSelector('#refund-pending');
    assert.equal(await tab.page.inputValue('#refund-amount'), '4500', 'it is still asked');
    await tab.page.click('#money .form .main');
    await tab.page.click('#dialog-yes');
    await until('the answer', async () => /4,500원 출금을 접수했어요/.test(await tab.text('.refund-answer')));
    assert.equal(sent.length, 2);
    assert.equal(sent[0].requestId, sent[1].requestId);
    await until('the balance', async () => (await shownCash(tab)) === before - 4_500);
    await until('its state', async () => {
      const member = await Member.logIn(world.server, FRESH);
      const { data } = await member.call('GET', '/api/payments/refunds?size=5');
      return data.length === 1 && data[0].state === 'DONE';
    });
    await tab.page.reload();
    await until('it is done', async () => /4,500원[^]*출금 완료/.test(await tab.text('.refunds [data-refund]')));
    await tab.shot(world.shots, '106-refunded');
    await tab.page.click('.refunds [data-receipt]');
    await tab.page.waitForSelector('#receipt[aria-busy="false"]');
    assert.match(await tab.text('#receipt tbody'), /4,000원[^]*500원/);
    assert.match(await tab.text('.receipt-sums'), /4,500원/);
    await tab.shot(world.shots, '107-refund-receipt');
  }],

  ['a payout says whether it is in progress, being verified, done, or has come back', async (world) => {
    const row = (requestId, state, returned, verifying) => ({
      refundId: 1, requestId, amount: 500, canceled: 0, paidOut: 0, returned, verifying, state, tradeId: 1, createdAt: '2025-08-07T12:34:56.789',
    });
    const data = [row('a', 'OPEN', 0, 0), row('b', 'OPEN', 0, 500), row('c', 'DONE', 0, 0), row('d', 'DONE', 200, 0), row('e', 'DONE', 500, 0)];
    const page = { data, pageInfo: { nextCursorId: null, hasNext: false, size: 20 } };
    const context = await world.browserOf(DESKTOP);
    await context.route('**/api/payments/refunds?**', (route) => route.fulfill({ json: { code: 0, message: '', data: page } }));
    const tab = await world.memberAt('#/refund', FRESH, context);
    await tab.page.waitForSelector('[data-refund="e"]');
    const texts = await tab.page.locator('.refunds [data-refund]').allInnerTexts();
    const states = ['처리 중', '확인 중', '출금 완료 ·', '출금 완료, 200원은 돌아왔어요', '캐시로 돌아왔어요'];
    for (const [nth, state] of states.entries()) assert.ok(texts[nth].includes(state), texts[nth]);
  }],

  ['receipts of a charge and a payout are in both languages', async (world) => {
    const order = await charge(world, 6_000);
    const member = await Member.logIn(world.server, FRESH);
    await member.post(REFUND, { requestId: 'receipt-check', refundAmount: 100 });
    for (const [locale, table, charged, paidOut] of [['ko-KR', ko, '6,000원', '100원'], ['en-US', en, '₩6,000', '₩100']]) {
      const tab = await world.memberAt('#/trades/cash', FRESH, await world.browserOf({ ...DESKTOP, locale }));
      for (const [kind, amount] of [['CHARGE', charged], ['REFUND', paidOut]]) {
        await tab.page.click(`#cash [data-type="${kind}"] [data-receipt]`);
        await tab.page.waitForSelector('#receipt[aria-busy="false"] h1');
        assert.equal(await tab.text('#receipt h1'), table[`receipt${kind}`]);
        const total = await tab.text('.receipt-sums .receipt-total');
        assert.ok(total.includes(table[`receiptTotal${kind}`]) && total.includes(amount), total);
        if (kind === 'CHARGE') assert.ok((await tab.text('.receipt-facts')).includes(order));
        await tab.shot(world.shots, `108-receipt-${kind}-${locale.slice(0, 2)}`);
        await tab.page.goBack();
        await tab.page.waitForSelector('#cash [data-receipt]');
      }
      await world.close(tab);
    }
    const trader = await world.memberAt('#/trades', TRADER, await world.browserOf(DESKTOP));
    await trader.page.click('#purchases [data-receipt] >> nth=0');
    await trader.page.waitForSelector('#receipt[aria-busy="false"] h1');
    assert.equal(await trader.text('#receipt h1'), ko.receiptPURCHASE);
  }],

  ['the cash history has all four kinds, with their sums', async (world) => {
    const member = await Member.logIn(world.server, TRADER);
    await charge(world, 2_500, TRADER);
    await member.post(REFUND, { requestId: 'kinds', refundAmount: 700 });
    const tab = await world.memberAt('#/trades/cash', TRADER, await world.browserOf(DESKTOP));
    for (const [type, text] of [['CHARGE', /충전 ·[^]*\+2,500원/], ['REFUND', /출금 ·[^]*−700원/], ['SALE', /판매 ·[^]*\+/], ['PURCHASE', /구매 ·[^]*−/]]) {
      await until(type, async () => text.test((await tab.page.locator(`#cash [data-type^="${type}"]`).allInnerTexts()).join('\n')));
    }
    const totals = (await tab.page.locator('#cash .totals dd').allInnerTexts()).map(wonOf);
    const changes = (await tab.page.locator('#cash .cash-change').allInnerTexts()).map(wonOf);
    assert.equal(totals[0], 2_500);
    assert.equal(totals[3], -700);
    assert.equal(totals[4], changes.reduce((sum, one) => sum + one, 0), `${totals} of ${changes}`);
    assert.equal(await tab.page.locator('#cash [data-receipt]').count(), changes.length, 'each has its receipt');
    await tab.shot(world.shots, '109-four-kinds');
  }],

  ['charging and paying out fit a phone and a desktop, in both languages', async (world) => {
    await charge(world, 1_000);
    const member = await Member.logIn(world.server, FRESH);
    await member.post(REFUND, { requestId: 'fit', refundAmount: 300 });
    const looks = [['light', 'ko-KR', phone(360)], ['dark', 'en-US', phone(390)], ['light', 'en-US', DESKTOP], ['dark', 'ko-KR', DESKTOP]];
    for (const [colorScheme, locale, options] of looks) {
      const tab = await world.memberAt('#/trades', FRESH, await world.browserOf({ ...options, colorScheme, locale }));
      const { width } = options.viewport;
      const panes = { trades: ['#/trades', '#to-charge'], cash: ['#/trades/cash', '#cash [data-receipt]'], charge: ['#/charge', '.charges [data-charge]'], failed: ['#/charge/failed?code=REJECT_CARD_COMPANY', '.outcome h3'], refund: ['#/refund', '.refunds [data-refund]'] };
      for (const [name, [hash, selector]] of Object.entries(panes)) {
        await tab.go(hash);
        await tab.page.waitForSelector(selector);
        await until(`${name} is shown`, async () => (await tab.page.locator('.skeleton:visible').count()) === 0);
        await fits(tab);
        await isNamed(tab);
        if (width < 720) await isTouchable(tab);
        await tab.shot(world.shots, `110-${name}-${width}-${colorScheme}-${locale.slice(0, 2)}`);
      }
      await world.close(tab);
    }
  }],

  ['a charge goes by the keyboard alone', async (world) => {
    const tab = await atCharge(world);
    assert.equal(await tab.page.evaluate(() => document.activeElement.closest('#money') !== null || document.activeElement === document.body), true);
    await tab.page.focus('[data-amount="10000"]');
    await tab.page.keyboard.press('Enter');
    assert.equal(await tab.page.inputValue('#charge-amount'), '10000');
    await tab.page.focus('#charge-amount');
    await tab.page.keyboard.press('Enter');
    await tab.page.waitForURL('**/fake/toss/pay?**');
    await tab.page.focus('button[value="card"]');
    await tab.page.keyboard.press('Enter');
    await hasOutcome(tab, 'CAPTURED');
    const card = tab.page.locator('.outcome');
    assert.deepEqual([await card.getAttribute('role'), await card.getAttribute('aria-live')], ['status', 'polite']);
  }],
];

/** A member before the form for a charge. */
async function atCharge(world) {
  const tab = await world.memberAt('#/trades', FRESH, await world.browserOf(DESKTOP));
  await tab.page.click('#to-charge');
  await tab.page.waitForSelector('#charge-amount');
  return tab;
}

async function toPayPage(tab) {
  await tab.page.click('#money .form .main');
  await tab.page.waitForURL('**/fake/toss/pay?**');
}

function payBy(tab, how) {
  return tab.page.click(`button[value="${how}"]`);
}

/** Pays by card without coming back: the address of the return, and the page's own one. */
async function authorized(tab) {
  const response = await tab.page.request.post(tab.page.url(), { form: { how: 'card' }, maxRedirects: 0 });
  const href = response.headers().location;
  const values = Object.fromEntries(new URL(href).searchParams);
  return { href, hash: `#/charge/done?${new URLSearchParams({ paymentKey: values.paymentKey, orderId: values.orderId, amount: values.amount })}` };
}

function hasOutcome(tab, state) {
  return until(`the outcome ${state}`, async () => (await tab.page.locator(`.outcome[data-outcome="${state}"]`).count()) === 1);
}

/** A charge without a page: its order. */
async function charge(world, amount, memberId = FRESH) {
  const member = await Member.logIn(world.server, memberId);
  const orderId = `order-check-${memberId}-${amount}`;
  await member.post('/api/payments/save-amount', { orderId, amount });
  const back = `${world.server.url}/`;
  const query = new URLSearchParams({ orderId, orderName: 'cash', amount, successUrl: back, failUrl: back });
  const answer = await fetch(`${world.server.url}/fake/toss/pay?${query}`, { method: 'POST', body: 'how=card', redirect: 'manual' });
  const paymentKey = new URL(answer.headers.get('location')).searchParams.get('paymentKey');
  await member.post(CHARGE, { paymentKey, orderId, amount });
  return orderId;
}

async function cashOf(world) {
  const member = await Member.logIn(world.server, FRESH);
  return (await member.call('GET', '/api/members/cash')).cash;
}

async function chargesOf(world) {
  const member = await Member.logIn(world.server, FRESH);
  return (await member.call('GET', '/api/payments/charges?size=100')).data;
}

/** The bodies of the requests that a tab sends there. */
function bodiesOf(tab, path) {
  const bodies = [];
  tab.page.on('request', (request) => {
    if (request.method() === 'POST' && new URL(request.url()).pathname === path) bodies.push(request.postDataJSON());
  });
  return bodies;
}

/** The shown balance. */
async function shownCash(tab) {
  const [text = ''] = await tab.page.locator('.balance:visible').allInnerTexts();
  return wonOf(text);
}

function wonOf(text) {
  const number = Number(text.replace(/[^\d]/g, ''));
  return text.includes('−') ? -number : number;
}
