// A server that takes five sends a second, and 25 at once: what it refuses for now is sent again in the original order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Line } from './line.js';
import { numbers, started, textOf, until } from './support.js';

const patient = { sendTriesMax: 1_000, retryMaxMs: 100 };
const idOf = (frame) => frame.match(/\nclient-message-id:(.*)\n/)?.[1];

test('what is refused for now is sent again in the original order, and before what is new', async () => {
  const writer = started(patient);
  const seen = [];
  writer.subscribe('/sub/1', (message) => seen.push(textOf(message)));
  await until('it is there', () => writer.isOpen);
  const texts = numbers(45);
  const send = (text) => writer.send('/pub/1', { message: text }, { id: text });
  const stored = texts.slice(0, 40).map(send);
  for (const text of texts.slice(40)) {
    await stored.at(-12);
    stored.push(send(text));
  }
  await Promise.all(stored);
  await until('all', () => seen.length >= texts.length);
  assert.deepEqual(seen, texts);
  await writer.stop();
});

test('what is sent before the refusals are read does not overtake what was refused', async () => {
  const line = await Line.open();
  // The client reads of the first that is refused, and of the others later.
  let first;
  line.holds = {
    test(frame) {
      const [, refused] = (frame.startsWith('MESSAGE') && frame.match(/"clientMessageId":"(\d+)"/)) || [];
      first ??= refused;
      return refused !== undefined && refused !== first;
    },
  };
  const writer = started({ ...patient, stomp: line.stomp });
  const seen = [];
  writer.subscribe('/sub/2', (message) => seen.push(textOf(message)));
  await until('it is there', () => writer.isOpen);
  const texts = numbers(41);
  const send = (text) => writer.send('/pub/2', { message: text }, { id: text });
  const stored = texts.slice(0, 40).map(send);
  await until('one is refused', () => first);
  await stored[Number(first) - 1];
  // The rate would let one more through by then.
  await new Promise((resolve) => setTimeout(resolve, 500));
  stored.push(send('41'));
  const [wire] = line.wires;
  await until('the new one is refused, too', () => wire.held.some(({ frame }) => frame.includes('"41"')));
  wire.release();
  await Promise.all(stored);
  await until('all', () => seen.length >= texts.length);
  assert.deepEqual(seen, texts);
  const ids = wire.frames('SEND').map(idOf);
  const last = texts.map((text) => ids.lastIndexOf(text));
  assert.deepEqual(last, last.toSorted((one, other) => one - other), 'each behind the one before it');
  await writer.stop();
  line.close();
});
