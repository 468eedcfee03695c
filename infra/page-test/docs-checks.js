// The code of infra/docs/front-end.md, as it stands there: its chat page in a browser, its lines of curl in a shell.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { until } from './until.js';

/** The front end's origin, which a server allows by default. */
const FRONT = 'http://localhost:3000';

const file = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** The first block of code below a heading, for this server. */
function code(heading, language, server) {
  const [, section] = file('infra/docs/front-end.md').split(`\n## ${heading}\n`);
  const block = section.match(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's'));
  return block[1].replaceAll('http://localhost:8080', server.url);
}

/** The page, opened by somebody who has to log in first. */
async function open(world, name) {
  const page = await (await world.browserOf()).newPage();
  // The page comes from no server, so the browser does not take it for one of this computer.
  await page.context().grantPermissions(['local-network-access'], { origin: FRONT });
  const html = code('Chat in twenty lines', 'html', world.server);
  await page.context().route(`${FRONT}/**`, (route) => {
    const { pathname } = new URL(route.request().url());
    if (!pathname.startsWith('/stompjs/')) return route.fulfill({ contentType: 'text/html', body: html });
    const body = file(`infra/standalone/web/vendor${pathname}`);
    return route.fulfill({ contentType: 'text/javascript', body });
  });
  await page.goto(FRONT);
  await page.waitForURL('**/fake/kakao/**');
  await page.click(`a:has-text("${name}")`);
  // This server's own page: it was not given the front end's address.
  await page.waitForURL(`${world.server.url}/**`);
  await page.waitForSelector('#market:not([hidden])');
  await page.goto(FRONT);
  await page.waitForSelector('#messages li');
  return page;
}

export const checks = [
  ['the chat page of the documents chats', async (world) => {
    const [buyer, seller] = await Promise.all([open(world, '김바다'), open(world, '이하늘')]);
    const count = (page, text) => page.$$eval('#messages li', (rows, text) => rows.filter((row) => row.textContent === text).length, text);
    await buyer.fill('#text', 'twenty lines');
    await buyer.click('button');
    await until('both have it once', async () =>
      (await count(buyer, 'twenty lines')) === 1 && (await count(seller, 'twenty lines')) === 1);
    await seller.reload();
    await until('a reload has it', async () => (await count(seller, 'twenty lines')) === 1);
  }],

  ['the lines of curl of the documents charge and buy', async (world) => {
    const lines = code('The market with curl', 'sh', world.server);
    const printed = execFileSync('bash', ['-euo', 'pipefail', '-c', lines], { encoding: 'utf8', timeout: 60_000 });
    const answers = printed.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
    assert.ok(answers.every(({ code }) => code === 0), printed);
    const [purchases, cash] = answers.slice(-2).map(({ data }) => data);
    assert.deepEqual([purchases.tradeCount, purchases.trades.data[0].dataAmount], [1, 0.1]);
    assert.equal(cash.cashHistoryMonthlySummary.totalCharge, 5_000);
  }],
];
