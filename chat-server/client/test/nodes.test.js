// Two nodes: the client is on the first, which asks it to come again, and goes to the second.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numbers, openSockets, otherToken, started, textOf, until, url } from './support.js';

/** The second node; and what stops the first one, if it is to be stopped. */
const { CHAT_NEXT_URL: nextUrl, CHAT_STOP_URL: stopUrl } = process.env;

const BEATLESS = { heartbeatIncoming: 0, heartbeatOutgoing: 0 };

/** Settings of stompjs that lead to the first node once, and to the second from then on. */
function onceToTheFirst() {
  const used = [];
  return {
    used,
    get brokerURL() {
      used.push(used.length === 0 ? url : nextUrl);
      return used.at(-1);
    },
    ...BEATLESS,
  };
}

test('a client that is asked to come again goes to another node, and nothing is missed or doubled', async () => {
  const stomp = onceToTheFirst();
  const reader = started({ stomp });
  const writer = started({ token: () => otherToken, stomp: { brokerURL: nextUrl, ...BEATLESS } });
  const seen = [];
  const began = [];
  reader.subscribe('/sub/1', (message) => seen.push(textOf(message)), { began: (told) => began.push(told) });
  // Subscribed: a subscription that moves before it began has no position to resume at.
  await until('both are there', () => began.length === 1 && writer.isOpen);
  if (stopUrl) assert.equal((await fetch(stopUrl, { method: 'POST' })).status, 202);
  let fewest = Infinity;
  let sent = 0;
  const write = async () => {
    sent += 1;
    await writer.send('/pub/1', { message: String(sent) });
    fewest = Math.min(fewest, openSockets().length);
  };
  while (began.length < 2) await write();
  await until('the first connection is left', () => openSockets().length === 2);
  for (let after = 0; after < 20; after += 1) await write();
  await until('all', () => seen.length >= sent);
  assert.deepEqual(seen, numbers(sent), 'each once, in order');
  assert.deepEqual(stomp.used, [url, nextUrl]);
  assert.deepEqual(began.at(-1), { ...began.at(-1), resumed: true, recovered: true });
  assert.deepEqual(reader.states, ['connecting', 'open']);
  assert.equal(fewest, 2, 'never without a connection');
  await Promise.all([reader.stop(), writer.stop()]);
});
