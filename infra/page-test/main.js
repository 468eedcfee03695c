// Runs the checks, each on a server and with tabs of its own, so any of them runs alone and in any order.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { checks as admin } from './admin-checks.js';
import { checks as cash } from './cash-checks.js';
import { checks as chat } from './chat-checks.js';
import { checks as docs } from './docs-checks.js';
import { checks as market } from './market-checks.js';
import { checks as mine } from './mine-checks.js';
import { checks as notice } from './notice-checks.js';
import { checks as offer } from './offer-checks.js';
import { checks as push } from './push-checks.js';
import { checks as receipt } from './receipt-checks.js';
import { checks as social } from './social-checks.js';
import { checks as texts } from './texts-checks.js';
import { checks as trade } from './trade-checks.js';
import { World } from './world.js';

const GROUPS = { texts, chat, market, offer, mine, trade, cash, receipt, notice, push, social, admin, docs };

const shots = fileURLToPath(new URL('../../target/page-test', import.meta.url));

/** One check; the longest waits for the next poll of the room list. */
const CHECK_MS = 90_000;

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { reversed: { type: 'boolean' }, jobs: { type: 'string', default: '2' } },
});
const [binary, ...names] = positionals;
const counts = { passed: 0, failed: 0 };
const jobs = Number(values.jobs);
const chosen = choose();
if (!(jobs >= 1)) fail('--jobs is not a number from 1 on');
else if (chosen.length === 0) fail(`no check is called like this: ${names.join(', ')}`);
else await runAll();
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed === 0 ? 0 : 1;

/** The checks whose group and name contain one of the given names; without names all. */
function choose() {
  const all = Object.entries(GROUPS).flatMap(([group, checks]) => checks.map(([name, check]) => ({ name: `${group}: ${name}`, check })));
  const isChosen = ({ name }) => names.length === 0 || names.some((part) => name.toLowerCase().includes(part.toLowerCase()));
  const found = all.filter(isChosen);
  return values.reversed ? found.reverse() : found;
}

async function runAll() {
  mkdirSync(shots, { recursive: true });
  let browser;
  try {
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
    const queue = chosen.map((one, index) => ({ ...one, nth: index + 1 }));
    const work = async () => {
      for (let one = queue.shift(); one; one = queue.shift()) await run(one, browser);
    };
    await Promise.all(Array.from({ length: jobs }, work));
  } catch (error) {
    fail(`the test could not be run: ${error.stack}`);
  } finally {
    await browser?.close();
  }
}

async function run({ name, check, nth }, browser) {
  const start = Date.now();
  const log = join(shots, `server-${String(nth).padStart(2, '0')}.log`);
  let timer;
  let world;
  try {
    world = await World.begin({ binary, browser, shots, log });
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`took more than ${CHECK_MS / 1000} s`)), CHECK_MS);
    });
    await Promise.race([check(world), late]);
    await world.isClean();
    counts.passed += 1;
    console.log(`ok      ${name}  [${((Date.now() - start) / 1000).toFixed(1)} s]`);
  } catch (error) {
    fail(`${name}: ${error.stack}\nThe server's log is ${log}, the tabs are failed-${nth}-….png beside it.`);
    await world?.shootAll(`failed-${nth}`);
  } finally {
    clearTimeout(timer);
    await world?.end();
  }
}

function fail(why) {
  counts.failed += 1;
  console.log(`FAILED  ${why}`);
}
