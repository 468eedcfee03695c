// Runs the checks one after the other against one server and two tabs of one browser.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { checks as chatChecks } from './chat-checks.js';
import { checks as marketChecks } from './market-checks.js';
import { checks as mineChecks } from './mine-checks.js';
import { checks as offerChecks } from './offer-checks.js';
import { Server } from './server.js';
import { Tab } from './tab.js';
import { checks as textsChecks } from './texts-checks.js';

const shots = fileURLToPath(new URL('../../target/page-test', import.meta.url));

/** One check; the longest restarts a server. */
const CHECK_MS = 90_000;

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

const [binary] = process.argv.slice(2);
mkdirSync(shots, { recursive: true });
const counts = { passed: 0, failed: 0 };
let server;
let browser;
try {
  server = await Server.start(binary, shots);
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
  const context = await browser.newContext({ locale: 'ko-KR', timezoneId: 'Asia/Seoul', viewport: { width: 1180, height: 800 } });
  context.setDefaultTimeout(20_000);
  const world = { server, browser, context, shots };
  world.one = await Tab.open(context, server.url);
  world.two = await Tab.open(context, server.url);
  for (const [name, check] of [...textsChecks.slice(0, 2), ...chatChecks, ...marketChecks, ...textsChecks.slice(2), ...offerChecks, ...mineChecks]) {
    if (counts.failed === 0) await run(name, () => check(world), world);
    else skip(name);
  }
} catch (error) {
  counts.failed += 1;
  console.log(`FAILED  the test could not be run: ${error.stack}`);
} finally {
  await browser?.close();
  await server?.end();
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed === 0 ? 0 : 1;

/** The checks build on each other, so after a failure the others would only wait. */
function skip(name) {
  counts.failed += 1;
  console.log(`FAILED  ${name}: not reached`);
}

async function run(name, check, { one, two }) {
  const start = Date.now();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took more than ${CHECK_MS / 1000} s`)), CHECK_MS);
  });
  try {
    await Promise.race([check(), late]);
    counts.passed += 1;
    console.log(`ok      ${name}  [${((Date.now() - start) / 1000).toFixed(1)} s]`);
  } catch (error) {
    counts.failed += 1;
    console.log(`FAILED  ${name}: ${error.stack}`);
    const place = `failed-${counts.failed}`;
    await Promise.allSettled([one.shot(shots, `${place}-one`), two.shot(shots, `${place}-two`)]);
  } finally {
    clearTimeout(timer);
  }
}
