// The member's own offers and page: registering, changing and withdrawing, pictures, limits, and how it all looks.

import assert from 'node:assert/strict';
import { fits, isTouchable } from './layout.js';
import { Member } from './member.js';
import { until } from './until.js';
import { DESKTOP, phone } from './world.js';

/** The seller of these checks: 1.8 GB of the month's 2 GB are offered from the first start on. */
const SELLER = 8;

export const checks = [
  ['my offers are listed by their state, with what may still be registered', async (world) => {
    const tab = await world.member(SELLER, DESKTOP);
    await tab.page.click('#to-mine');
    await tab.page.waitForSelector('[data-mine]');
    await until('the limits', async () => /0\.2GB 더 올릴 수 있어요[^]*한 달 2GB 중 1\.8GB 등록/.test(await tab.text('#mine-limits')));
    assert.match(await tab.text('#mine-limits'), /요금제 데이터\s+[\d.]+GB 남았어요/);
    await until('the prices', async () => /원/.test(await tab.text('#mine-offers [data-mine] >> nth=0')));
    await tab.shot(world.shots, '60-mine');
    await tab.page.click('[data-state-tab="SOLD_OUT"]');
    await until('none is sold out', async () => /아직 다 팔린 상품이 없어요/.test(await tab.text('#mine-offers')));
    await tab.page.reload();
    await until('the reload keeps the state', async () => /아직 다 팔린 상품이 없어요/.test(await tab.text('#mine-offers')));
    await tab.page.click('[data-state-tab="ACTIVE"]');
  }],

  ['data is registered within the limits, and the form says what is wrong', async (world) => {
    const tab = await seller(world);
    await tab.page.click('#to-data');
    await tab.page.waitForSelector('#data-amount');
    assert.match(await tab.text('#data-amount-hint'), /0\.2GB까지 고를 수 있어요/);
    assert.equal(await tab.page.getAttribute('#data-amount', 'max'), '0.2');
    await tab.page.click('.form .main');
    assert.match(await tab.text('#data-price-problem'), /가격을 1원부터/);
    assert.equal(await tab.page.evaluate(() => document.activeElement.id), 'data-price');
    await tab.page.fill('#data-amount', '0.2');
    await tab.page.fill('#data-price', '990');
    await tab.page.check('[name="split"][value="split"]');
    assert.match(await tab.text('.computed'), /100MB당 495원/);
    await tab.shot(world.shots, '61-new-data');
    await tab.page.click('.form .main');
    await until('it is said', async () => (await tab.text('#note')) === '상품을 등록했어요.');
    await until('it is the first of the list', async () => /0\.2\s*GB\s+0\.2GB 중 0\.2GB 남음\s+990원/.test(await tab.text('[data-mine] >> nth=0')));
    await until('the limit has gone down', async () => /0GB 더 올릴 수 있어요/.test(await tab.text('#mine-limits')));
    await tab.page.click('#to-data');
    await until('no more may be registered', async () => /2GB를 모두 올렸어요/.test(await tab.text('#mine-form')));
  }],

  ['an offer is edited, and withdrawn after a question', async (world) => {
    const member = await Member.logIn(world.server, SELLER);
    await member.offerData({ price: 990, dataAmount: 0.2, isSplitType: true });
    const tab = await seller(world);
    const withdrawn = [];
    tab.page.on('request', (request) => request.method() === 'DELETE' && withdrawn.push(request.url()));
    await tab.page.click('[data-mine] >> nth=0');
    await tab.page.waitForSelector('#data-price');
    assert.equal(await tab.page.inputValue('#data-price'), '990');
    assert.equal(await tab.page.isChecked('[value="split"]'), true);
    await tab.page.fill('#data-price', '1200');
    await tab.page.check('[name="split"][value="whole"]');
    await tab.page.click('.form .main');
    await until('it has the new price', async () => /1,200원/.test(await tab.text('[data-mine] >> nth=0')));
    await tab.page.click('[data-mine] >> nth=0');
    await tab.page.click('.withdraw');
    await tab.page.waitForSelector('dialog[open]');
    await tab.shot(world.shots, '62-withdraw');
    await tab.page.keyboard.press('Escape');
    await tab.page.waitForSelector('dialog', { state: 'detached' });
    assert.equal(await tab.page.locator('.withdraw').isVisible(), true);
    await tab.page.click('.withdraw');
    await tab.page.click('#dialog-yes');
    await until('the limit is as before', async () => /0\.2GB 더 올릴 수 있어요/.test(await tab.text('#mine-limits')));
    assert.doesNotMatch(await tab.text('[data-mine] >> nth=0'), /1,200원/);
    await tab.page.click('[data-state-tab="DELETED"]');
    await until('it is among the withdrawn', async () => (await tab.page.locator('[data-mine]').count()) === 1);
    assert.equal(withdrawn.length, 1, 'leaving the question withdraws nothing');
    await tab.page.click('[data-state-tab="ACTIVE"]');
  }],

  ['a refusal of the server is shown in the words of the screen', async (world) => {
    const tab = await seller(world);
    tab.expect(/status of 400/);
    await tab.page.click('#to-data');
    await tab.page.waitForSelector('#data-price');
    await tab.page.fill('#data-price', '500');
    const path = '**/api/products/mobile-data';
    await tab.page.route(path, (route) => route.fulfill({ status: 400, json: { code: 3005, message: 'over' } }));
    await tab.page.click('.form .main');
    await until('it says why', async () => (await tab.text('.form > .problem')) === '이번 달에 팔 수 있는 2GB를 넘었어요.');
    await tab.page.unroute(path);
    // The browser notes the refusal; nothing else is to complain.
    assert.equal(tab.complaints.length, 1);
  }],

  ['Wi-Fi is registered with pictures, and shown with them', async (world) => {
    const tab = await seller(world);
    await tab.page.click('#to-wifi');
    await tab.page.waitForSelector('#spot-title');
    await tab.page.fill('#spot-title', '테스트 서재');
    await tab.page.fill('#spot-content', '조용하고 빨라요.');
    await tab.page.fill('#spot-price', '350');
    await tab.page.fill('#spot-address', '서울 중구 한빛로 1');
    await tab.page.selectOption('#spot-near', '0');
    await tab.page.fill('#spot-from', '18:00');
    await tab.page.fill('#spot-to', '18:00');
    await tab.page.click('.form .main');
    assert.match(await tab.text('#spot-to-problem'), /여는 시각과 닫는 시각이 같아요/);
    await tab.page.fill('#spot-to', '02:00');
    await tab.page.locator('#spot-to').dispatchEvent('change');
    assert.match(await tab.text('#mine-form'), /다음 날 02:00까지 열어요/);
    await tab.page.setInputFiles('#spot-pictures', [pictureFile('a.png', await draw(tab, '#c2486b')), pictureFile('b.png', await draw(tab, '#2b7f8e'))]);
    await tab.page.waitForSelector('.picked-one .picked-picture >> nth=1');
    await tab.page.click('.picked-move');
    await tab.shot(world.shots, '63-new-wifi');
    await tab.page.setInputFiles('#spot-pictures', [pictureFile('c.png', Buffer.from('no picture'))]);
    await until('what is no picture is refused', async () => /c\.png: 사진으로 열 수 없는/.test(await tab.text('#mine-form')));
    await tab.page.click('.form .main');
    await until('it is in the list', async () => /테스트 서재\s+18:00~02:00\s+10분 350원/.test(await tab.text('[data-mine] >> nth=0')));
    await until('with its picture', () => isLoaded(tab, '[data-mine] >> nth=0', '.mine-picture'));
    await tab.go('#/market/wifi');
    await until('the market has it', async () => (await tab.page.locator('.tile:has-text("테스트 서재")').count()) === 1);
    await tab.page.click('.tile:has-text("테스트 서재")');
    await until('both pictures are shown', async () => (await tab.page.locator('.offer-picture').count()) === 2);
    await until('and loaded', () => isLoaded(tab, '#offer', '.offer-picture'));
    await tab.shot(world.shots, '64-offer-pictures');
  }],

  ['a spot that is edited keeps its hours and pictures', async (world) => {
    const member = await Member.logIn(world.server, SELLER);
    await member.offerWifi({ ...SPOT, images: await member.upload(2) });
    const tab = await seller(world);
    await tab.go('#/market/wifi');
    await tab.page.click('.tile:has-text("테스트 서재")');
    await tab.page.click('.edit-offer');
    await tab.page.waitForSelector('#spot-title');
    assert.equal(await tab.page.inputValue('#spot-from'), '18:00');
    assert.equal(await tab.page.locator('.picked-picture').count(), 2);
    await tab.page.check('#spot-all-day');
    await tab.page.click('.picked-remove >> nth=1');
    await tab.page.click('.form .main');
    await until('it is open all day', async () => /테스트 서재\s+24시간/.test(await tab.text('[data-mine] >> nth=0')));
    await tab.page.click('[data-mine] >> nth=0');
    await until('one picture is left', async () => (await tab.page.locator('.picked-picture').count()) === 1);
  }],

  ['my page shows plan, month and language, and takes a picture', async (world) => {
    const tab = await seller(world);
    await tab.page.click('#to-me');
    await until('who it is', async () => /윤채원[^]*회원 등급\s+회원[^]*가입한 날\s+\d+년[^]*카카오/.test(await tab.text('.person')));
    assert.match(await tab.text('#plan'), /남은 데이터\s+[\d.]+GB[^]*요금\s+월 [\d,]+원/);
    assert.match(await tab.text('#month'), /올린 데이터\s+1\.8GB[^]*더 살 수 있는 데이터\s+2GB/);
    await tab.page.setInputFiles('#profile-picture', [pictureFile('me.png', await draw(tab, '#3c7a3f'))]);
    await until('the picture is in the menu', () => isLoaded(tab, '#to-me', 'img'));
    await until('and on the page', () => isLoaded(tab, '.person', 'img'));
    await tab.shot(world.shots, '65-me');
  }],

  ['all panes fit a phone and a desktop, light and dark, in both languages', async (world) => {
    const small = phone(390, 844);
    const looks = [
      [390, 'light', 'ko-KR', small], [390, 'dark', 'en-US', small], [1280, 'light', 'en-US', DESKTOP], [1280, 'dark', 'ko-KR', DESKTOP],
    ];
    const panes = {
      market: '#/market/data', wifi: '#/market/wifi', offer: '#/market/data/1', chat: '#/chat', room: '#/room/1', mine: '#/mine',
      data: '#/mine/new/data', spot: '#/mine/new/wifi', me: '#/me',
    };
    for (const [width, colorScheme, locale, options] of looks) {
      const tab = await world.member(1, { ...options, colorScheme, locale });
      for (const [name, hash] of Object.entries(panes)) {
        await tab.go(hash);
        await until(`${name} is shown`, async () => (await tab.page.locator('.skeleton:visible').count()) === 0);
        await fits(tab);
        if (width === 390) await isTouchable(tab);
        await tab.shot(world.shots, `70-${name}-${width}-${colorScheme}-${locale.slice(0, 2)}`);
      }
      await world.close(tab);
    }
  }],
];

/** A spot that closes after midnight. */
const SPOT = {
  title: '테스트 서재', content: '조용하고 빨라요.', price: 350, address: '서울 중구 한빛로 1', latitude: 37.5663, longitude: 126.9779,
  startTime: '2025-08-07T18:00:00', endTime: '2025-08-08T02:00:00',
};

/** The seller before the list of their offers. */
async function seller(world) {
  const tab = await world.memberAt('#/mine', SELLER, await world.browserOf(DESKTOP));
  await tab.page.waitForSelector('[data-mine]');
  return tab;
}

function pictureFile(name, buffer) {
  return { name, mimeType: 'image/png', buffer };
}

/** A PNG of this colour, larger than the page keeps. */
async function draw(tab, colour) {
  const base64 = await tab.page.evaluate((fill) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 2_000, height: 1_200 });
    const context = canvas.getContext('2d');
    context.fillStyle = fill;
    context.fillRect(0, 0, canvas.width, canvas.height);
    return canvas.toDataURL('image/png').split(',')[1];
  }, colour);
  return Buffer.from(base64, 'base64');
}

/** Whether the first such picture within the element has come, made smaller. */
function isLoaded(tab, within, selector) {
  const image = tab.page.locator(within).locator(selector).first();
  return image.evaluate((one) => one.complete && one.naturalWidth > 0 && one.naturalWidth <= 1_600, null, { timeout: 1_000 }).catch(() => false);
}
