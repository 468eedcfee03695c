// The texts of the page: both languages have the same, every text that is used is there, and none is beside the tables.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { until } from './until.js';
import { DESKTOP } from './world.js';
import { texts as en } from '../standalone/web/js/texts-en.js';
import { texts as ko } from '../standalone/web/js/texts-ko.js';

const WEB = new URL('../standalone/web/', import.meta.url);
const HANGUL = /[가-힣]/;

/** Where the names of languages are in their own words. */
const NAMES = "export const LANGUAGES = { ko: '한국어', en: 'English' };";

export const checks = [
  ['both languages have the same texts', async () => {
    assert.deepEqual(Object.keys(en), Object.keys(ko));
    for (const key of Object.keys(ko)) {
      assert.equal(typeof en[key], typeof ko[key], key);
      if (typeof ko[key] === 'string') {
        assert.ok(ko[key].trim() && en[key].trim(), `${key} is empty`);
        assert.ok(!HANGUL.test(en[key]), `${key} is not English: ${en[key]}`);
        continue;
      }
      // Prices are written with the sign of the currency in one language and with its name in the other.
      if (key !== 'won') assert.deepEqual(used(en[key]), used(ko[key]), `${key} is filled in differently`);
      assert.ok(!HANGUL.test(en[key](SAMPLE)), `${key} is not English`);
      assert.ok(!/undefined|NaN/.test(ko[key](SAMPLE) + en[key](SAMPLE)), key);
    }
  }],

  ['no key stands for two texts', async () => {
    for (const language of ['ko', 'en']) {
      const tables = readdirSync(new URL('js/', WEB)).filter((name) => name.startsWith('texts-') && name.endsWith(`-${language}.js`));
      assert.equal(tables.length, 7);
      const keys = tables.flatMap((name) => [...readFileSync(new URL(`js/${name}`, WEB), 'utf8').matchAll(/^  (\w+): /gm)].map(([, key]) => key));
      assert.deepEqual(keys.filter((key, index) => keys.indexOf(key) !== index), []);
    }
  }],

  ['no text is missing, unused, or beside the tables', async () => {
    const page = ['index.html', 'receipt.html'].map((name) => readFileSync(new URL(name, WEB), 'utf8')).join('');
    assert.ok(!HANGUL.test(page), 'a page has a text of its own');
    const wanted = new Set([...page.matchAll(/data-t(?:-[\w-]+)?="(\w+)"/g)].map(([, key]) => key));
    let code = '';
    for (const name of readdirSync(new URL('js/', WEB))) {
      if (name.startsWith('texts-')) continue;
      const text = readFileSync(new URL(`js/${name}`, WEB), 'utf8');
      code += text;
      const bare = text.replace(NAMES, '').replace(/\/\*\*[^]*?\*\/|(^|\s)\/\/.*$/gm, '');
      assert.ok(!HANGUL.test(bare), `js/${name} has a text of its own: ${bare.match(/.*[가-힣].*/)}`);
      for (const [, key] of text.matchAll(/\bt\('(\w+)'/g)) wanted.add(key);
    }
    assert.deepEqual([...wanted].filter((key) => !Object.hasOwn(ko, key)), []);
    // Others are named in lists (`sortRecent`) or made from the wire's words (`error3002`, `roleROLE_MEMBER`).
    const made = /^(error\d+|role[A-Z_]+|provider[A-Z]+|none[A-Z_]+|trade[A-Z_]+|receipt(Total)?[A-Z]+|outcome[A-Z]+(Text)?|charge[A-Z]+|refund[A-Z]+|noReports[A-Z]+)$/;
    const unused = Object.keys(ko).filter((key) => !wanted.has(key) && !made.test(key) && !new RegExp(`'${key}'`).test(code));
    assert.deepEqual(unused, []);
  }],

  ['the language is the browser\'s, and can be switched', async (world) => {
    const tab = await world.open({ ...DESKTOP, locale: 'en-US' });
    await tab.page.waitForSelector('[data-member="1"]');
    assert.equal(await tab.page.getAttribute('html', 'lang'), 'en');
    await tab.shot(world.shots, '40-login-en');
    await tab.logIn(1);
    await speaks(tab, en);
    assert.match(await tab.text('#offer .hero-price'), /^₩[\d,]+$/);
    await tab.shot(world.shots, '41-market-en');
    for (const hash of ['#/market/wifi/2', '#/room/1', '#/mine/new/wifi', '#/me']) {
      await tab.go(hash);
      await until(`${hash} is shown`, async () => (await tab.page.locator('.skeleton:visible').count()) === 0);
      await speaks(tab, en);
    }
    await tab.page.click('#profile [data-language="ko"]');
    await until('it is Korean', async () => (await tab.page.getAttribute('html', 'lang')) === 'ko');
    await tab.page.waitForSelector('#plan .facts');
    assert.match(await tab.text('#me h1'), /내 정보/);
    await tab.page.reload();
    await tab.page.waitForSelector('#plan .facts');
    await speaks(tab, ko);
    await tab.page.click('#nav-language [data-language="en"]');
    await until('it is English again', async () => (await tab.page.getAttribute('html', 'lang')) === 'en');
  }],

  ['amounts, prices and times are written as the language does', async (world) => {
    const read = async (locale) => {
      const tab = await world.open({ locale });
      const found = await tab.page.evaluate(async () => {
        const { clockOf, dataText, hoursText, openText, wonText } = await import('/js/format.js');
        const { clockText, dateText } = await import('/js/time.js');
        const night = { open: false, startTime: '2025-08-01T18:00:00.000', endTime: '2025-08-02T04:00:00.000' };
        return [
          wonText(12_500), dataText(1.5), clockText('2025-08-07T15:04:00.000'), dateText('2025-08-07'),
          hoursText('00:00:00', '23:55:00'), openText(night), openText({ ...night, open: true }),
          clockOf('18:00:00') + clockOf('2025-08-01T18:00:00.000'),
        ];
      });
      await world.close(tab);
      return found;
    };
    assert.deepEqual(await read('ko-KR'), [
      '12,500원', '1.5GB', '오후 3:04', '2025년 8월 7일', '24시간', '18:00에 열어요', '영업 중 · 04:00까지', '18:0018:00',
    ]);
    assert.deepEqual(await read('en-GB'), [
      '₩12,500', '1.5 GB', '3:04 PM', 'August 7, 2025', 'Open 24 hours', 'Opens at 18:00', 'Open until 04:00', '18:0018:00',
    ]);
  }],
];

const SAMPLE = {
  names: ['A', 'B', 'C'], number: '1', currency: '₩1', time: '1:00', count: 2, name: 'A', price: '1', place: 'A', distance: '1m', stars: '5.0',
  date: '1', title: 'A', nth: 1, left: '1', all: '2', used: '1', max: 2, month: '1', plan: '2', from: '1', to: '2',
  what: 'A', before: '1', now: '2', short: '1', duration: '1', hours: 1, minutes: 2, saved: '1', amount: '1', word: 'A',
};

/** Which values a text takes. */
function used(text) {
  const names = new Set();
  text(new Proxy(SAMPLE, {
    get: (target, name) => {
      names.add(name);
      return target[name];
    },
  }));
  return [...names].sort();
}

/** No text that is shown or read out is one of the other language. */
async function speaks(tab, table) {
  const other = new Set(Object.values(table === en ? ko : en).filter((text) => typeof text === 'string' && text.length > 1));
  for (const text of Object.values(table)) other.delete(text);
  const shown = await tab.page.evaluate(() => {
    const isVisible = (one) => one.checkVisibility() || one.closest('.hidden');
    const texts = [];
    for (const one of document.querySelectorAll('body *')) {
      if (!isVisible(one)) continue;
      for (const name of ['aria-label', 'placeholder', 'title']) if (one.hasAttribute(name)) texts.push(one.getAttribute(name));
      for (const node of one.childNodes) if (node.nodeType === Node.TEXT_NODE) texts.push(node.textContent.trim());
    }
    return texts;
  });
  assert.ok(shown.length > 20, 'something is shown');
  assert.deepEqual(shown.filter((text) => other.has(text)), []);
  // Where a text is missing, its key is shown.
  assert.deepEqual(shown.filter((text) => /^[a-z]+[A-Z]\w*$/.test(text)), []);
}
