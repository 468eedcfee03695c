// What the market's part of the page must do.

import assert from 'node:assert/strict';
import { ROOM } from './conversation.js';
import { fits, isTouchable } from './layout.js';
import { until } from './until.js';
import { phone } from './world.js';

const ALL = 50;

/** The place in Gangnam, among those that distances are measured from. */
const GANGNAM = '1';

export const checks = [
  ['offers of mobile data are listed, and more come on scrolling', async (world) => {
    const tab = await world.member(3);
    await tab.page.click('#to-market');
    await tab.page.waitForSelector('[data-offer]');
    assert.equal(await tab.text('#to-me'), '박\n박도윤');
    const atFirst = await tab.page.locator('[data-offer]').count();
    assert.ok(atFirst < ALL, `${atFirst} offers at once`);
    await tab.shot(world.shots, '20-market-data');
    const ids = await readAll(tab);
    assert.equal(new Set(ids).size, ALL);
    assert.equal(await tab.text('#offers .list-end'), `상품 ${ALL}개를 모두 보았어요.`);
  }],

  ['more offers come also where the browser reports several frames at once', async (world) => {
    const tab = await world.memberAt('#/market/data', 3, await world.browserOf(), reportFramesTogether);
    assert.equal(new Set(await readAll(tab)).size, ALL);
  }],

  ['another order sorts the whole list', async (world) => {
    const tab = await world.member(3);
    const recent = await readAll(tab);
    for (const [sort, selector, sign] of [
      ['PRICE_ASC', '.tile-unit', 1], ['AMOUNT_DESC', '.amount-number', -1], ['AMOUNT_ASC', '.amount-number', 1],
    ]) {
      await choose(tab, 'sort', sort);
      const ids = await readAll(tab);
      assert.deepEqual([...ids].sort(), [...recent].sort(), 'the same offers');
      assert.notDeepEqual(ids, recent);
      isSorted((await numbers(tab, selector)).map((number) => sign * number));
    }
  }],

  ['an amount leaves the others out', async (world) => {
    const tab = await world.member(3);
    await choose(tab, 'sort', 'AMOUNT_ASC');
    await choose(tab, 'amount', '0.3');
    const ids = await readAll(tab);
    assert.ok(ids.length > 0 && ids.length < ALL, `${ids.length} offers`);
    const amounts = await tab.page.locator('#offers .amount-number').allInnerTexts();
    assert.deepEqual(new Set(amounts), new Set(['0.3']));
    await choose(tab, 'amount', '2');
    await until('none is left', async () => (await tab.text('#offers .list-end')).startsWith('조건에 맞는 상품이 없어요.'));
    await tab.shot(world.shots, '21-market-none');
    await tab.page.click('#clear-filters');
    await until('all are back', async () => (await tab.page.locator('#offers [data-offer]').count()) > 0);
  }],

  ['Wi-Fi is listed by its distance from the chosen place', async (world) => {
    const tab = await world.member(3);
    await fresh(tab, () => tab.page.click('[data-kind="wifi"]'));
    const fromCityHall = await readAll(tab);
    assert.equal(fromCityHall.length, ALL);
    isSorted(await distances(tab));
    await choose(tab, 'place', GANGNAM);
    const fromGangnam = await readAll(tab);
    assert.notDeepEqual(fromGangnam, fromCityHall);
    assert.deepEqual([...fromGangnam].sort(), [...fromCityHall].sort());
    isSorted(await distances(tab));
    assert.match(await tab.text(`[data-offer="${fromGangnam[0]}"]`), /강남 판다오피스/);
    await tab.page.evaluate(() => (document.getElementById('offers').scrollTop = 0));
    await tab.shot(world.shots, '22-market-wifi');
  }],

  ['only what is open now, if one wants', async (world) => {
    const tab = await nearGangnam(world);
    await fresh(tab, () => tab.page.click('#open-now'));
    const ids = await readAll(tab);
    assert.ok(ids.length > 0 && ids.length < ALL, `${ids.length} offers`);
    assert.equal(await tab.page.locator('#offers .open-tag').count(), ids.length);
    await fresh(tab, () => tab.page.click('#open-now'));
    assert.equal((await readAll(tab)).length, ALL);
  }],

  ['an offer shows what it is and whose, also after a reload', async (world) => {
    const tab = await nearGangnam(world);
    await readAll(tab);
    await tab.page.click('#offers [data-offer] >> nth=0');
    const look = async () => {
      await tab.page.waitForSelector('.seller');
      assert.match(await tab.text('.hero'), /강남 판다오피스[^]*10분 600원/);
      assert.match(await tab.text('#offer .facts'), /07:00~23:00[^]*강남구 판다로 101/);
      await until('the seller is known', async () => /아직 후기 없음 · \d+년 \d+월 \d+일 가입/.test(await tab.text('.seller')));
      assert.match(await tab.text('#offer .facts'), /강남역에서 \d+m/);
    };
    await look();
    await tab.shot(world.shots, '23-offer-wifi');
    await tab.page.reload();
    await look();
  }],

  ['an offer leads to the conversation about it', async (world) => {
    const tab = await world.member(1);
    await tab.page.evaluate(() => (location.hash = '#/market/data/1'));
    await tab.page.waitForSelector('a.ask-seller');
    assert.match(await tab.text('.seller'), /이하늘/);
    await tab.shot(world.shots, '24-offer-data');
    await tab.page.click('.ask-seller');
    await tab.page.waitForSelector('#conversation:not([hidden])');
    assert.equal(await tab.text('#title'), '이하늘');
  }],

  ['one signs in by a provider, and market and chat know who it is', async (world) => {
    const tab = await world.open();
    await tab.signIn('kakao', '이하늘');
    assert.equal(await tab.text('#to-me'), '이\n이하늘');
    await tab.page.waitForSelector('[data-offer]');
    await tab.page.click('#to-chat');
    await tab.connected();
    await tab.enter(ROOM);
    await tab.send('카카오로 들어왔어요');
    await tab.shows('카카오로 들어왔어요');
    await tab.shot(world.shots, '25-signed-in');
    await tab.page.reload();
    await tab.connected();
    assert.equal(await tab.text('#to-me'), '이\n이하늘');
    await tab.shows('카카오로 들어왔어요');
  }],

  ['a demo member of another tab leaves the signed-in one alone', async (world) => {
    const signedIn = await signedInToChat(world);
    const other = await world.beside(signedIn);
    await other.logIn(5);
    assert.equal(await other.text('#to-me'), '정\n정지호');
    await signedIn.page.reload();
    await signedIn.connected();
    await signedIn.send('저는 그대로예요');
    await signedIn.shows('저는 그대로예요');
    assert.equal((await signedIn.messages()).at(-1).isMine, true);
  }],

  ['signing out ends it in all tabs and on the server', async (world) => {
    const signedIn = await signedInToChat(world);
    const context = signedIn.page.context();
    const other = await world.beside(signedIn);
    await other.page.waitForSelector('#go-on');
    await other.shot(world.shots, '26-go-on');
    await other.page.click('#go-on');
    await other.page.waitForSelector('[data-offer]');
    assert.equal(await other.text('#to-me'), '이\n이하늘');
    const before = await context.cookies();
    assert.ok(before.some(({ name }) => name === 'refreshToken'));

    await other.page.click('#leave');
    for (const tab of [other, signedIn]) await tab.page.waitForSelector('[data-provider="naver"]', { state: 'visible' });
    assert.equal(await other.page.locator('#go-on').count(), 0);
    const kept = (await context.cookies()).filter(({ name }) => name !== 'loginAttempt');
    assert.deepEqual(kept, []);
    const cookie = before.map(({ name, value }) => `${name}=${value}`).join('; ');
    const replayed = await fetch(`${world.server.url}/api/members/info`, { headers: { cookie } });
    assert.equal(replayed.status, 401);
  }],

  ['a new member comes by another provider', async (world) => {
    for (const [provider, name] of [['google', '최서연'], ['naver', '한유나']]) {
      const tab = await world.open();
      await tab.signIn(provider, name);
      await tab.page.waitForSelector('[data-offer]');
      assert.equal(await tab.text('#to-me'), `${[...name][0]}\n${name}`);
      await tab.page.click('#to-chat');
      await tab.connected();
      assert.match(await tab.text('#rooms'), /아직 채팅방이 없어요/);
      assert.match(await tab.text('#nothing'), /판매자에게 문의하면/);
      if (provider === 'google') await tab.shot(world.shots, '27-new-member');
      await world.close(tab);
    }
  }],

  ['a login that has ended leads to the first screen', async (world) => {
    const tab = await world.open();
    // Any request of a login that has ended.
    tab.expect(/status of 401/);
    await tab.signIn('kakao', '오민준');
    await tab.connected();
    await tab.page.waitForSelector('#offer .seller');
    await tab.page.context().clearCookies();
    // Any request finds out: perhaps one of the page's own, which leads away before this one.
    await tab.go('#/market/data?sort=PRICE_ASC').catch(() => {});
    await tab.page.waitForSelector('[data-provider="naver"]', { state: 'visible' });
    assert.equal(await tab.page.locator('#go-on').count(), 0);
  }],

  ['a login that came to nothing says so', async (world) => {
    const tab = await world.open();
    await tab.page.goto(world.server.url + '/?error=2009');
    await until('it says so', async () => (await tab.text('#login-problem')) === '로그인을 취소했어요.');
    await tab.page.waitForSelector('[data-member="1"]');
    assert.equal(new URL(tab.page.url()).search, '');
  }],

  ['the market fits a phone, and one leafs between list and offer', async (world) => {
    for (const [colorScheme, width] of [['light', 360], ['dark', 390]]) {
      const tab = await world.open({ ...phone(width), colorScheme });
      await tab.page.waitForSelector('[data-member="1"]');
      await tab.logIn(4);
      for (const kind of ['data', 'wifi']) {
        await tab.page.click(`[data-kind="${kind}"]`);
        await tab.page.waitForSelector('[data-offer]');
        await fits(tab);
        await isTouchable(tab);
        await tab.shot(world.shots, `28-phone-${kind}-${colorScheme}`);
        assert.equal(await tab.page.locator('#offer').isVisible(), false);
        await tab.page.click('#offers [data-offer] >> nth=0');
        await tab.page.waitForSelector('.seller');
        await fits(tab);
        await isTouchable(tab);
        assert.equal(await tab.page.locator('.market .pane-list').isVisible(), false);
        await tab.shot(world.shots, `29-phone-offer-${kind}-${colorScheme}`);
        await tab.page.click('.offer .back');
        await tab.page.waitForSelector('.market .pane-list', { state: 'visible' });
      }
      await world.close(tab);
    }
  }],

  ['the market is dark where the system is', async (world) => {
    const tab = await world.member(4, { colorScheme: 'dark' });
    await tab.page.evaluate(() => (location.hash = '#/market/wifi/2'));
    await tab.page.waitForSelector('.seller');
    await tab.page.waitForSelector('[data-offer]');
    await tab.shot(world.shots, '30-market-dark');
  }],

  ['the market asked nobody else, and nothing complained', async (world) => {
    const tab = await world.member(3);
    await choose(tab, 'sort', 'PRICE_ASC');
    await choose(tab, 'amount', '0.3');
    await tab.page.click('#offers [data-offer] >> nth=0');
    await tab.page.waitForSelector('.seller');
    await fresh(tab, () => tab.page.click('[data-kind="wifi"]'));
    await choose(tab, 'place', GANGNAM);
    await fresh(tab, () => tab.page.click('#open-now'));
    await tab.page.click('#offers [data-offer] >> nth=0');
    await tab.page.waitForSelector('.seller');
    await tab.page.reload();
    await tab.page.waitForSelector('.seller');
    await tab.isClean();
  }],
];

/** In the page: what is seen of frames is reported late, and together. */
function reportFramesTogether() {
  window.IntersectionObserver = class extends IntersectionObserver {
    constructor(report, options) {
      const frames = [];
      super((more, observer) => {
        if (frames.push(...more) === more.length) setTimeout(() => report(frames.splice(0), observer), 400);
      }, options);
    }
  };
}

/** A member before the list of Wi-Fi around Gangnam. */
async function nearGangnam(world) {
  const tab = await world.member(3);
  await fresh(tab, () => tab.page.click('[data-kind="wifi"]'));
  await choose(tab, 'place', GANGNAM);
  return tab;
}

/** Somebody who signed in by a provider and has a conversation open. */
async function signedInToChat(world) {
  const tab = await world.open();
  await tab.signIn('kakao', '이하늘');
  await tab.connected();
  await tab.enter(ROOM);
  return tab;
}

/** Scrolls to the end of the list; the ids of all its offers, in their order. */
async function readAll(tab) {
  await until('the end of the list', async () => {
    await tab.page.evaluate(() => (document.getElementById('offers').scrollTop = 1e6));
    return (await tab.text('#offers .list-end')).includes('모두 보았어요');
  });
  return tab.page.$$eval('#offers [data-offer]', (rows) => rows.map((row) => Number(row.dataset.offer)));
}

/** Chooses in one of the lists above the offers. */
function choose(tab, name, value) {
  return fresh(tab, () => tab.page.selectOption(`#choice-${name}`, value));
}

/** Does what makes the list begin anew, and waits until the old rows are gone. */
async function fresh(tab, change) {
  await tab.page.evaluate(() => {
    for (const row of document.querySelectorAll('#offers [data-offer]')) row.classList.add('old');
  });
  await change();
  await until('the list began anew', async () => (await tab.page.locator('#offers .old').count()) === 0);
  await until('its first answer', async () => !(await tab.text('#offers .list-end')).includes('불러오는') || (await tab.page.locator('[data-offer]').count()) > 0);
}

function numbers(tab, selector) {
  const all = tab.page.locator(`#offers ${selector}`).allInnerTexts();
  return all.then((texts) => texts.map((text) => Number(text.replaceAll(',', '').match(/[\d.]+(?=원|$)/)[0])));
}

async function distances(tab) {
  const texts = await tab.page.locator('#offers .tile-distance').allInnerTexts();
  return texts.map((text) => (text.endsWith('km') ? 1_000 : 1) * Number.parseFloat(text));
}

function isSorted(all) {
  all.forEach((one, index) => assert.ok(index === 0 || all[index - 1] <= one, `at ${index}: ${all}`));
}
