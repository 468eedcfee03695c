// Reviews, reports and blocks: writing and reading, refusals, what other tabs see, and how it all lies on a phone.

import assert from 'node:assert/strict';
import { ROOM, pair } from './conversation.js';
import { fits, isNamed, isTouchable } from './layout.js';
import { Member } from './member.js';
import { BUYER, MARKUP, SELLER, administrator, booked, isPlain, reviewed, traded } from './social.js';
import { until } from './until.js';
import { DESKTOP, phone } from './world.js';

export const checks = [
  ['a purchase is reviewed once, by keys, and its seller has the rating', async (world) => {
    const { productId, trades: [first, second] } = await traded(world, 2);
    const row = (tradeId, button) => `#purchases [data-trade="${tradeId}"] .review-${button}`;
    const tab = await world.memberAt('#/trades', BUYER, await world.browserOf(DESKTOP));
    const late = await world.memberAt('#/trades', BUYER, tab.page.context());
    late.expect(/status of 409/);
    await late.page.waitForSelector(row(first, 'write'));
    await tab.page.bringToFront();
    await tab.page.focus(row(first, 'write'));
    await tab.page.keyboard.press('Enter');
    await tab.page.waitForSelector('#review[open]');
    await tab.page.click('#review [type="submit"]');
    assert.equal(await tab.text('#review-rating-problem'), '별점을 골라 주세요.');
    assert.equal(await tab.page.evaluate(() => document.activeElement.id), 'review-rating');
    await tab.page.keyboard.press('ArrowRight');
    assert.equal(await tab.page.getAttribute('#review-rating', 'aria-valuetext'), '별점 5점 만점에 3.5점');
    assert.equal(await tab.text('#review-rating-problem'), '');
    await tab.page.fill('#review-comment', '🐼'.repeat(51));
    assert.equal(await tab.text('#review .counted'), '51/50');
    await tab.page.click('#review [type="submit"]');
    assert.match(await tab.text('#review-comment-problem'), /너무 길어요/);
    await tab.page.fill('#review-comment', MARKUP);
    await tab.shot(world.shots, '120-review');
    await tab.page.click('#review [type="submit"]');
    await until('it is said', async () => (await tab.text('#note')) === '후기를 남겼어요.');
    await tab.page.waitForSelector(`${row(first, 'done')}:focus`);
    assert.equal(await tab.page.locator(row(second, 'write')).count(), 1, 'the other purchase has none');

    // A tab that does not know it yet.
    await late.page.bringToFront();
    await late.page.click(row(first, 'write'));
    await late.page.focus('#review-rating');
    await late.page.keyboard.press('End');
    await late.page.click('#review [type="submit"]');
    await until('the refusal', async () => (await late.text('#review .problem')) === '이미 후기를 쓴 거래예요.');
    await late.page.keyboard.press('Escape');
    await late.page.waitForSelector(row(first, 'done'));

    await tab.page.bringToFront();
    await tab.go(`#/market/data/${productId}`);
    await until('the offer has the rating', async () => /★ 3\.5 \(1\)/.test(await tab.text('.seller')));
    await tab.page.click('a.seller');
    await until('the profile, too', async () => /3\.5\s+후기 1개/.test(await tab.text('#member .member-rating')));
    await until('with the review', async () => (await tab.text('#member .review-comment')) === MARKUP);
    assert.match(await tab.text('#member .review'), /오민준[^]*모바일 데이터 0\.1GB/);
    await isPlain(tab);
    await tab.shot(world.shots, '121-member');
    await tab.page.click('#member .member-head a');
    await until('back at the offer', async () => tab.page.url().endsWith(`#/market/data/${productId}`));
  }],

  ['a sale is reviewed by a tap, and the review is changed and deleted', async (world) => {
    await traded(world);
    const context = await world.browserOf({ ...phone(360), locale: 'en-US' });
    const tab = await world.memberAt('#/trades/cash', SELLER, context);
    await tab.page.tap('#cash .review-write');
    await tab.page.waitForSelector('#review[open]');
    const star = await tab.page.locator('#review .star >> nth=4').boundingBox();
    await tab.page.touchscreen.tap(star.x + star.width / 4, star.y + star.height / 2);
    assert.equal(await tab.text('#review .star-text'), '4.5');
    await fits(tab);
    await isTouchable(tab);
    await tab.shot(world.shots, '122-review-phone');
    await tab.page.tap('#review [type="submit"]');
    await until('it is said', async () => (await tab.text('#note')) === 'Your review is posted.');
    await tab.page.reload();
    await tab.page.waitForSelector('#cash .review-done');
    await tab.page.tap('#cash .review-done');
    await until('it is in the list', async () => /4\.5\s+To 오민준/.test(await tab.text('#me-part .review')));
    await tab.page.tap('.review-edit');
    await tab.page.focus('#review-rating');
    await tab.page.keyboard.press('Home');
    await tab.page.fill('#review-comment', 'Late');
    await tab.page.tap('#review [type="submit"]');
    await until('it is changed', async () => /1\.0[^]*Late[^]*edited/.test(await tab.text('#me-part .review')));
    const buyer = await Member.logIn(world.server, SELLER);
    const { averageRating, reviewCount } = await buyer.call('GET', `/api/members/info?memberId=${BUYER}`);
    assert.deepEqual([averageRating, reviewCount], [1, 1]);
    await tab.page.tap('.review-delete');
    await tab.page.tap('#dialog-yes');
    await until('none is left', async () => /not written a review yet/.test(await tab.text('#me-part')));
    await tab.go('#/trades/cash');
    await tab.page.waitForSelector('#cash .review-write');
  }],

  ['reviews are sorted in four ways, and come in pages', async (world) => {
    const { buyer, trades } = await booked(world, 12);
    const ratings = [5, 1, 4.5, 2, 3.5, 1.5, 4, 2.5, 3, 1, 5, 2];
    await reviewed(buyer, trades, ratings, MARKUP);
    const tab = await world.memberAt(`#/member/${SELLER}`, BUYER, await world.browserOf({ ...DESKTOP, locale: 'en-US' }));
    const shown = () => tab.page.locator('#member .review-head strong').allInnerTexts().then((all) => all.map(Number));
    const falling = [...ratings].sort((one, other) => other - one);
    for (const [sort, expected] of [
      ['RECENT', ratings.toReversed()], ['OLDEST', ratings], ['RATING_DESC', falling], ['RATING_ASC', falling.toReversed()],
    ]) {
      await tab.page.click(`#member [data-sort="${sort}"]`);
      await tab.page.waitForSelector(`#member [data-sort="${sort}"][aria-current="true"]`);
      await until(`a page by ${sort}`, async () => (await shown()).length === 10);
      await tab.page.click('#member .list-end button');
      await until(`all by ${sort}`, async () => (await shown()).length === 12);
      assert.deepEqual(await shown(), expected, sort);
    }
    await tab.page.reload();
    await tab.page.waitForSelector('#member [data-sort="RATING_ASC"][aria-current="true"]');
    assert.match(await tab.text('#member .member-rating'), /2\.9\s+12 reviews/);
    await isPlain(tab);
    await isNamed(tab);
  }],

  ['member, offer, review and message are reported, each once', async (world) => {
    const { buyer, trades } = await traded(world);
    await reviewed(buyer, trades, [1], '느려요');
    const { member: admin } = await administrator(world);
    const tab = await world.memberIn(ROOM, 1);
    tab.expect(/status of 4\d\d/);
    await tab.page.click('.message.mine .bubble >> nth=0');
    await tab.page.waitForSelector('.message.mine .actions');
    assert.equal(await tab.page.locator('.message.mine .report').count(), 0, 'the own message cannot be reported');
    await tab.page.focus('.message.theirs .bubble >> nth=0');
    await tab.page.keyboard.press('Enter');
    await tab.page.click('.message.theirs .report');
    await tab.page.click('#report [type="submit"]');
    assert.equal(await tab.text('#report-reason-problem'), '신고하는 까닭을 적어 주세요.');
    await tab.page.fill('#report-reason', '가'.repeat(101));
    assert.match(await tab.text('#report-reason-problem'), /100자까지/);
    await tab.shot(world.shots, '123-report');
    await sendReport(tab, MARKUP);
    await until('it has arrived', async () => (await tab.text('#note')) === '신고를 받았어요. 확인해 볼게요.');

    await tab.page.click('.message.theirs .bubble >> nth=0');
    await tab.page.click('.message.theirs .report');
    await sendReport(tab, '또');
    await until('once is enough', async () => /이미 신고했어요/.test(await tab.text('#report .problem')));
    await tab.page.keyboard.press('Escape');

    const opened = [
      ['PRODUCT', '#/market/data/1', '#offer .report'],
      ['MEMBER', `#/member/${SELLER}`, '#member .member-actions .report'],
      ['REVIEW', `#/member/${SELLER}`, '#member .review .report'],
    ];
    for (const [category, hash, button] of opened) {
      await tab.go(hash);
      await tab.page.click(button);
      await sendReport(tab, category);
      await tab.page.waitForSelector('#report', { state: 'detached' });
    }
    const { data: rows } = await admin.call('GET', '/api/admin/reports?state=OPEN&size=10');
    assert.deepEqual(rows.map((row) => [row.targetCategory, row.reason, row.memberId]), [
      ['CHAT', MARKUP, 2], ['PRODUCT', 'PRODUCT', rows[1].memberId], ['MEMBER', 'MEMBER', SELLER], ['REVIEW', 'REVIEW', BUYER],
    ]);
    // The page offers no way to report what is one's own: the request is led to an offer of the member.
    await tab.page.route('**/api/report/*', (route) => route.continue({ url: `${world.server.url}/api/report/2` }));
    await tab.go('#/market/data/1');
    await tab.page.click('#offer .report');
    await sendReport(tab, '나');
    await until('not what is one\'s own', async () => (await tab.text('#report .problem')) === '내 것은 신고할 수 없어요.');
    await isPlain(tab);
  }],

  ['offers of a blocked member leave the lists of every tab, and come back', async (world) => {
    const { seller, productId } = await traded(world);
    const tab = await world.memberAt(`#/market/data/${productId}`, BUYER, await world.browserOf(DESKTOP));
    const other = await world.memberAt('#/market/data', BUYER, tab.page.context());
    // It is beside the list, too, and is read again.
    other.expect(/status of 400/);
    const row = other.page.locator(`#offers [data-offer="${productId}"]`);
    await until('the list has it', async () => (await row.count()) === 1);
    await tab.page.bringToFront();
    await tab.page.click('a.seller');
    await tab.page.click('#member .block');
    await tab.page.waitForSelector('dialog[open]');
    await tab.page.keyboard.press('Escape');
    await tab.page.waitForSelector('dialog', { state: 'detached' });
    assert.equal(await tab.page.getAttribute('#member .block', 'aria-pressed'), 'false', 'leaving the question blocks nobody');
    await tab.page.click('#member .block');
    await tab.page.click('#dialog-yes');
    await tab.page.waitForSelector('#member .block[aria-pressed="true"]');
    assert.match(await tab.text('#member .member-blocked'), /내가 차단한 회원/);
    await until('the other tab leaves it out', async () => (await row.count()) === 0);
    await tab.shot(world.shots, '124-blocked');
    tab.expect(/status of 400/);
    await tab.go(`#/market/data/${productId}`);
    await until('the offer is not there', async () => /판매가 끝난 상품이에요/.test(await tab.text('#offer')));
    // Neither is the buyer's for the seller.
    const hidden = await seller.call('GET', `/api/members/${BUYER}/selling-products?productState=ACTIVE&size=5`);
    assert.equal(hidden.data.length, 0);
    await tab.go('#/me/blocked');
    await tab.page.click(`[data-blocked="${SELLER}"] .unblock`);
    await until('nobody is blocked', async () => /차단한 회원이 없어요/.test(await tab.text('#me-part')));
    await until('the other tab has it again', async () => (await row.count()) === 1);
  }],

  ['a chat with a separated member can be read, and written in only after it is undone', async (world) => {
    const { one, two } = await pair(world);
    const before = await two.messages();
    await one.page.bringToFront();
    await one.page.click('#person');
    await one.page.waitForSelector('#person-menu[open]');
    await isNamed(one);
    await one.page.click('#person-menu .block');
    await one.page.click('#dialog-yes');
    await one.page.waitForSelector('#separated .unblock');
    assert.ok(await one.page.locator('#composer').isHidden());
    await one.shot(world.shots, '125-separated');

    await two.page.bringToFront();
    // Each attempt waits for its own outcome: the next one could not be typed while this one is refused.
    let attempt = 0;
    await until('a message is refused', async () => {
      attempt += 1;
      await two.send(`아직 거기 있나요? (${attempt})`);
      await two.page.waitForSelector(`#separated:not([hidden]), .message.mine[data-state="there"]:has-text("(${attempt})")`);
      return two.page.locator('#separated').isVisible();
    });
    assert.equal(await two.text('#separated'), '이 회원과는 메시지를 주고받을 수 없어요.');
    assert.ok(await two.page.locator('#composer').isHidden());
    assert.match(await two.text('.message.failed'), /보내지 못했어요 · 이 회원과는/);
    assert.ok((await two.messages()).length >= before.length, 'the rest stays');

    await one.page.bringToFront();
    await one.page.click('#separated .unblock');
    await one.page.waitForSelector('#composer:not([hidden])');
    await one.send('다시 이야기해요');
    await two.shows('다시 이야기해요');
    await two.page.waitForSelector('#composer:not([hidden])');
    await two.send('네, 좋아요');
    await one.shows('네, 좋아요');
  }],

  ['pages of members fit a phone and have names, in both languages', async (world) => {
    const { buyer, trades } = await traded(world);
    await reviewed(buyer, trades, [4.5], '빠르고 친절해요. 다음에도 또 거래하고 싶어요.');
    await buyer.post(`/api/members/1/block`);
    const panes = [`#/member/${SELLER}`, `#/member/${BUYER}`, '#/me', '#/me/received', '#/me/written', '#/me/blocked', '#/me/close', '#/trades', '#/market/data/1'];
    for (const [colorScheme, locale] of [['light', 'ko-KR'], ['dark', 'en-US']]) {
      const tab = await world.memberAt('#/market/data', BUYER, await world.browserOf({ ...phone(360), colorScheme, locale }));
      for (const hash of panes) {
        await tab.go(hash);
        await until(`${hash} is shown`, async () => (await tab.page.locator('.skeleton:visible').count()) === 0);
        await fits(tab);
        await isTouchable(tab);
        await isNamed(tab);
        await tab.shot(world.shots, `126${hash.replaceAll(/[#/]+/g, '-')}-${colorScheme}`);
      }
      await world.close(tab);
    }
  }],
];

async function sendReport(tab, reason) {
  await tab.page.fill('#report-reason', reason);
  await tab.page.click('#report [type="submit"]');
}
