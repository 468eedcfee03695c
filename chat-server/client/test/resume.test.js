// Connections that break: nothing is missed, nothing doubled, in both directions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numbers, openSockets, otherToken, started, textOf, until } from './support.js';

test('a reader whose connection breaks resumes after what it saw', async () => {
  const writer = started({ token: () => otherToken });
  await until('the writer is there', () => writer.isOpen);
  const [hers] = openSockets();
  const reader = started();
  const seen = [];
  const began = [];
  reader.subscribe('/sub/1', (message) => seen.push(textOf(message)), { began: (told) => began.push(told) });
  await until('it listens', () => began.length === 1);
  const texts = numbers(200);
  for (const text of texts) {
    await writer.send('/pub/1', { message: text });
    if (Number(text) % 50 !== 25) continue;
    await until('it is back', () => reader.isOpen);
    for (const socket of openSockets()) if (socket !== hers) socket.terminate();
  }
  await until('all', () => seen.length >= texts.length);
  assert.deepEqual(seen, texts);
  assert.equal(began.length, 5);
  assert.ok(began.slice(1).every(({ resumed, recovered }) => resumed && recovered));
  await Promise.all([reader.stop(), writer.stop()]);
});

test('sends without a receipt are sent again under their names, in their order', async () => {
  const texts = numbers(300).map((number) => `again ${number}`);
  const writer = started({ pendingMax: texts.length });
  const seen = [];
  writer.subscribe('/sub/1', (message) => seen.push(message));
  await until('it is there', () => writer.isOpen);
  const stored = texts.map((text) => writer.send('/pub/1', { message: text }, { id: text }));
  // Some have arrived, some have not, and of some nobody knows.
  await stored[50];
  openSockets().forEach((socket) => socket.terminate());
  await Promise.all(stored);
  assert.equal(writer.pendingCount, 0);
  await until('all', () => seen.length >= texts.length);
  assert.deepEqual(seen.map(textOf), texts);
  assert.deepEqual(seen.map(({ headers }) => headers['client-message-id']), texts);
  assert.ok(writer.states.includes('waiting'), writer.states);
  await writer.stop();
});

test('history comes once, and what is sent while nothing is open is refused or kept', async () => {
  const writer = started({ token: () => otherToken });
  for (const text of ['before 1', 'before 2']) await writer.send('/pub/1', { message: text });
  await writer.stop();
  const idle = started({ pendingMax: 1 });
  const seen = [];
  idle.subscribe('/sub/1', (message) => seen.push(textOf(message)), { history: 2 });
  const kept = idle.send('/pub/1', { message: 'kept' });
  await assert.rejects(idle.send('/pub/1', { message: 'too many' }), { code: 'full' });
  assert.equal((await kept).id.length, 32);
  await until('history and the new one', () => seen.length >= 3);
  const before = idle.states.length;
  openSockets().forEach((socket) => socket.terminate());
  // Looking at isOpen could miss it: the wait is random, and may be over at once.
  await until('it went', () => idle.states.slice(before).includes('waiting'));
  await until('it is back', () => idle.isOpen);
  await idle.send('/pub/1', { message: 'last' });
  await until('the last one', () => seen.at(-1) === 'last');
  assert.deepEqual(seen, ['before 1', 'before 2', 'kept', 'last']);
  await idle.stop();
  await assert.rejects(idle.send('/pub/1', { message: 'late' }), { code: 'stopped' });
});

test('the server says no to one send, and the connection stays', async () => {
  const writer = started();
  await assert.rejects(writer.send('/pub/1', { message: 'x'.repeat(251) }), { code: 8005 });
  await assert.rejects(writer.send('/pub/7', { message: 'x' }), { code: 8001 });
  await writer.send('/pub/1', { message: 'one' }, { id: 'taken' });
  await assert.rejects(writer.send('/pub/1', { message: 'two' }, { id: 'taken' }), { code: 8009 });
  assert.deepEqual(writer.states, ['connecting', 'open']);
  await writer.stop();
});

test('a destination that is not for this member is given up, and the others are heard', async () => {
  const reader = started();
  const seen = [];
  let refused;
  reader.subscribe('/sub/1', (message) => seen.push(textOf(message)));
  reader.subscribe('/sub/7', () => {}, { refused: (error) => (refused = error) });
  await until('the refusal', () => refused);
  assert.equal(refused.code, 8001);
  await until('it is open', () => reader.isOpen);
  await reader.send('/pub/1', { message: 'heard' });
  await until('the message', () => seen.includes('heard'));
  await reader.stop();
});
