// The end of an account, and the pages for administrators: the queue, decisions, blocks and the audit log.

import assert from 'node:assert/strict';
import { fits, isNamed, isTouchable } from './layout.js';
import { Member } from './member.js';
import { BUYER, MARKUP, SELLER, administrator, booked, isPlain, reviewed, traded } from './social.js';
import { until } from './until.js';
import { DESKTOP, phone } from './world.js';

export const checks = [
  ['an account with cash and a booking is not closed, and each reason leads on', async (world) => {
    await booked(world, 1);
    const tab = await world.memberAt('#/me', BUYER, await world.browserOf(DESKTOP));
    tab.expect(/status of 409/);
    await tab.page.click('#account a[href="#/me/close"]');
    await tab.page.waitForSelector('#close-word');
    assert.equal(await tab.page.evaluate(() => document.activeElement.textContent), '회원 탈퇴');
    await tab.page.fill('#close-word', '탈퇴할래요');
    await tab.page.click('.close-account [type="submit"]');
    assert.equal(await tab.text('#close-word-problem'), '‘탈퇴’라고 그대로 적어 주세요.');
    await tab.page.fill('#close-word', ' 탈퇴 ');
    await tab.page.press('#close-word', 'Enter');
    await tab.page.waitForSelector('[data-reason="BOOKING"]');
    assert.match(await tab.text('[data-reason="CASH"]'), /캐시가 남아 있어요/);
    assert.match(await tab.text('[data-reason="BOOKING"]'), /아직 끝나지 않은 이용 시간이 있어요/);
    assert.equal(await tab.page.getAttribute('[data-reason="BOOKING"] a', 'href'), '#/trades');
    await tab.shot(world.shots, '130-close');
    await tab.page.click('[data-reason="CASH"] a');
    await tab.page.waitForSelector('#refund-amount');
  }],

  ['the last administrator cannot leave', async (world) => {
    const tab = await admin(world, await world.browserOf(DESKTOP));
    tab.expect(/status of 409/);
    await tab.go('#/me/close');
    await tab.page.fill('#close-word', '탈퇴');
    await tab.page.press('#close-word', 'Enter');
    await tab.page.waitForSelector('[data-reason="ADMIN"]');
    assert.match(await tab.text('[data-reason="ADMIN"]'), /운영자가 한 명뿐이에요/);
  }],

  ['a closed account is gone from every tab, and its login begins a new one', async (world) => {
    const tab = await world.open({ locale: 'en-US' });
    await tab.signIn('google', '최서연');
    await tab.connected();
    const before = await tab.page.evaluate(() => JSON.parse(localStorage.getItem('dapanda.signed-in')).memberId);
    const other = await world.beside(tab);
    other.expect(/status of 40[13]/);
    // The server closes their connections while they leave.
    for (const one of [tab, other]) one.expect(/already in CLOSING or CLOSED/);
    await other.page.click('#go-on');
    await other.page.waitForSelector('#offers [data-offer]');
    await tab.go('#/me/close');
    await tab.page.fill('#close-word', 'Close');
    await tab.page.click('.close-account [type="submit"]');
    await until('it is said', async () => /Your account is closed/.test(await tab.text('#login-problem')));
    await other.page.waitForSelector('[data-provider="naver"]', { state: 'visible' });
    assert.equal(await other.page.locator('#go-on').count(), 0);
    const kept = (await tab.page.context().cookies()).filter(({ name }) => name !== 'loginAttempt');
    assert.deepEqual(kept, []);
    await tab.signIn('google', '최서연');
    await tab.connected();
    const after = await tab.page.evaluate(() => JSON.parse(localStorage.getItem('dapanda.signed-in')).memberId);
    assert.notEqual(after, before);
  }],

  ['a report is upheld, what it is about is removed, and two administrators do not collide', async (world) => {
    const { buyer, trades, productId } = await traded(world);
    await reviewed(buyer, trades, [1], MARKUP);
    const other = await Member.logIn(world.server, 3);
    await other.post(`/api/report/${productId}`, { reason: MARKUP, targetCategory: 'PRODUCT' });
    const reporter = await Member.logIn(world.server, SELLER);
    const { data: [{ reviewId }] } = await reporter.call('GET', '/api/reviews/received');
    await reporter.post(`/api/report/${reviewId}`, { reason: '욕설', targetCategory: 'REVIEW' });

    const tab = await world.open(DESKTOP);
    tab.expect(/status of 409/);
    await tab.page.click('#administrator button');
    await tab.page.waitForSelector('#to-admin:not([hidden])');
    const late = await admin(world, tab.page.context());
    late.expect(/status of 409/);
    await tab.page.bringToFront();
    await tab.page.click('#to-admin');
    await tab.page.click('[data-report-row] >> nth=0');
    await tab.page.waitForSelector('[data-open-report]');
    assert.equal(await tab.text('.report-reason strong'), MARKUP);
    assert.match(await tab.text('#admin-detail .facts'), /신고된 회원\s+윤채원[^]*신고한 회원\s+박도윤 · 거래나 대화가 없었어요/);
    await isPlain(tab);
    await isNamed(tab);
    await tab.shot(world.shots, '131-report');
    await tab.page.reload();
    await tab.page.waitForSelector('[data-open-report]');
    await late.page.bringToFront();
    await late.page.click('[data-report-row] >> nth=0');
    await late.page.waitForSelector('[data-open-report]');

    await tab.page.bringToFront();
    await tab.page.fill('#decision-note', '가'.repeat(201));
    await tab.page.click('#dismiss');
    assert.match(await tab.text('#decision-note-problem'), /200자까지/);
    await tab.page.fill('#decision-note', '가짜 상품');
    await tab.page.check('#decision-remove');
    await tab.page.click('.decision [type="submit"]');
    await tab.page.click('#dialog-yes');
    await until('one report is left', async () => (await tab.page.locator('[data-report-row]').count()) === 1);
    await late.page.bringToFront();
    await late.page.click('#dismiss');
    await until('the other one was faster', async () => /이미 처리한 신고예요/.test(await late.text('#note')));
    const { data: offers } = await other.call('GET', '/api/products/mobile-data?size=100');
    assert.ok(!offers.some((row) => row.productId === productId), 'the offer is gone');

    await tab.page.bringToFront();
    await tab.page.click('[data-report-row]');
    await until('the other one is open', async () => (await tab.text('.excerpt')).includes(MARKUP));
    assert.match(await tab.text('#admin-detail .facts'), /신고된 회원\s+오민준[^]*신고한 회원\s+윤채원 · 거래나 대화가 있었어요/);
    await isPlain(tab);
    await tab.page.check('#decision-remove');
    await tab.page.click('.decision [type="submit"]');
    await tab.page.click('#dialog-yes');
    await until('none is left', async () => /처리할 신고가 없어요/.test(await tab.text('#admin-reports')));
    const { data: reviews } = await reporter.call('GET', '/api/reviews/received');
    assert.deepEqual(reviews, [], 'the review is gone');
    await tab.page.click('[data-report-state="UPHELD"]');
    await tab.page.click('[data-report-row] >> nth=1');
    await until('the decision is shown', async () => /상태\s+인정[^]*메모\s+가짜 상품/.test(await tab.text('#admin-detail .facts')));
    assert.equal(await tab.page.locator('.decision').count(), 0);
  }],

  ['a member is blocked with a decision, and the block is undone', async (world) => {
    const reporter = await Member.logIn(world.server, 1);
    await reporter.post('/api/report/2', { reason: '거짓말', targetCategory: 'MEMBER' });
    const blocked = await world.memberAt('#/market/data', 2, await world.browserOf());
    blocked.expect(/status of 40[013]/);
    const tab = await admin(world, await world.browserOf({ ...DESKTOP, locale: 'en-US' }));
    await tab.page.click('[data-report-row]');
    await tab.page.check('#decision-block');
    await tab.page.click('.decision [type="submit"]');
    await tab.page.click('#dialog-yes');
    await until('the queue is empty', async () => /no open reports/.test(await tab.text('#admin-reports')));
    await until('the member is out', () => blocked.page.evaluate(() => document.body.dataset.state === 'blocked'));
    await tab.go('#/admin?state=UPHELD');
    await tab.page.click('[data-report-row]');
    assert.match(await tab.text('#admin-detail .facts'), /이하늘 · account blocked/);
    await tab.page.click('#admin-unblock');
    await tab.page.click('#dialog-yes');
    await until('it is undone', async () => (await tab.page.locator('#admin-unblock').count()) === 0);
    await Member.logIn(world.server, 2);
    await tab.page.click('#to-audit');
    await until('the log has it', async () => /member\.unblock\s+member:2[^]*member\.block\s+member:2/.test(await tab.text('.audit-list')));
    await tab.shot(world.shots, '132-audit');
  }],

  ['the pages for administrators are for administrators only, and fit a phone', async (world) => {
    const tab = await world.memberAt('#/admin', 1, await world.browserOf());
    tab.expect(/status of 403/);
    await until('it is said', async () => (await tab.text('#admin-only')) === '운영자만 볼 수 있는 화면이에요.');
    assert.ok(await tab.page.locator('#to-admin').isHidden());
    await world.close(tab);
    const reporter = await Member.logIn(world.server, 1);
    await reporter.post('/api/report/2', { reason: '아'.repeat(100), targetCategory: 'MEMBER' });
    for (const [colorScheme, locale] of [['light', 'ko-KR'], ['dark', 'en-US']]) {
      const small = await admin(world, await world.browserOf({ ...phone(360), colorScheme, locale }));
      for (const hash of ['#/admin', '#/admin/report/1', '#/admin/audit', '#/admin?state=DISMISSED', '#/me']) {
        await small.go(hash);
        await until(`${hash} is shown`, async () => (await small.page.locator('.skeleton:visible').count()) === 0);
        await fits(small);
        await isTouchable(small);
        await isNamed(small);
        await small.shot(world.shots, `133${hash.replaceAll(/[^a-z]+/gi, '-')}-${colorScheme}`);
      }
      await world.close(small);
    }
  }],
];

/** The administrator before the queue. */
async function admin(world, context) {
  const { memberId } = await administrator(world);
  const tab = await world.memberAt('#/admin', memberId, context);
  await until('the queue', async () => (await tab.page.getAttribute('#admin-reports', 'aria-busy')) === 'false');
  return tab;
}
