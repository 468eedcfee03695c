// The server asks its clients to come again, every second or so: they move without a moment without a connection.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numbers, openSockets, otherToken, sockets, started, textOf, until } from './support.js';

/** How often each client moves. */
const MOVES = 4;

test('clients move before they leave, and nothing is missed or doubled', async () => {
  const reader = started();
  const writer = started({ token: () => otherToken });
  const seen = [];
  const events = [];
  const began = [];
  reader.subscribe('/sub/1', (message) => seen.push(textOf(message)), { began: (told) => began.push(told) });
  reader.subscribe('/sub/1/events', (message) => message.body.includes('"typing"') && events.push(message));
  await until('both are there', () => began.length === 1 && writer.isOpen);
  let fewest = Infinity;
  let sent = 0;
  while (began.length <= MOVES) {
    sent += 1;
    await writer.send('/pub/1', { message: String(sent) });
    fewest = Math.min(fewest, openSockets().length);
  }
  await until('all', () => seen.length >= sent);
  assert.deepEqual(seen, numbers(sent), 'each once, in order');
  assert.ok(began.slice(1).every(({ resumed, recovered }) => resumed && recovered));
  for (const { states } of [reader, writer]) assert.deepEqual(states, ['connecting', 'open']);
  assert.ok(fewest >= 2, `at least ${fewest} sockets were open`);
  // What is of no log comes over both connections while there are two, and counts once.
  const before = events.length;
  writer.publish('/pub/1/typing', {});
  await until('it is seen', () => events.length > before);
  await writer.send('/pub/1', { message: 'after it' });
  await until('what came after it', () => seen.at(-1) === 'after it');
  assert.equal(events.length, before + 1);
  await Promise.all([reader.stop(), writer.stop()]);
  await until('no socket is left', () => openSockets().length === 0);
  assert.ok(sockets.length >= 2 + MOVES, `${sockets.length} sockets`);
});

test('sends on the way while a client moves are stored once, in their order', async () => {
  const writer = started({ pendingMax: 10_000 });
  const seen = [];
  let moves = -1;
  writer.subscribe('/sub/2', (message) => seen.push(textOf(message)), { began: () => (moves += 1) });
  const stored = [];
  while (moves < MOVES) {
    for (let burst = 0; burst < 20; burst += 1) {
      stored.push(writer.send('/pub/2', { message: String(stored.length + 1) }));
    }
    await stored.at(-10);
  }
  await Promise.all(stored);
  await until('all', () => seen.length >= stored.length);
  assert.deepEqual(seen, numbers(stored.length));
  await writer.stop();
});
