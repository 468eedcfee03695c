// What happens while there are two connections: a line between client and server makes that last as long as it takes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Line } from './line.js';
import { otherToken, started, textOf, until } from './support.js';

/** The receipts of the second connection: without them nothing has begun there. */
const RECEIPTS = /^RECEIPT/;

/** A client on a line of its own, all of it begun on the first connection; `subscribe` says what. */
async function onLine(settings, subscribe) {
  const line = await Line.open();
  const client = started({ stomp: line.stomp, ...settings });
  subscribe(client);
  await until('it is there', () => client.isOpen);
  return { line, client, first: line.wires[0] };
}

/** It is asked to come again: its second connection, where the server has begun everything, and no answer came. */
async function second({ line, first }) {
  const asked = first.frames('SUBSCRIBE').length;
  line.holds = RECEIPTS;
  first.drain();
  await until('the server has begun all', () => line.wires[1]?.held.length === asked);
  return line.wires[1];
}

test('what is of no log counts once while there are two connections', async () => {
  let events = 0;
  let marks = 0;
  const reader = await onLine({ onError: () => (marks += 1) }, (client) => {
    client.subscribe('/sub/1/events', ({ body }) => (events += body.includes('"typing"') ? 1 : 0));
  });
  const { first } = reader;
  // The old connection stays when it is left, for as long as this does not pass.
  first.holds = /^DISCONNECT/;
  const next = await second(reader);
  const passed = (wire) => wire.came.filter((frame) => frame.includes('"typing"')).length;
  /** Somebody types; the count once the client has taken in all that came by both connections. */
  const typed = async (times) => {
    const writer = started({ token: () => otherToken });
    await until('the writer is there', () => writer.isOpen);
    writer.publish('/pub/1/typing', {});
    await until('it came by both', () => [first, next].every((wire) => passed(wire) === times));
    marks = 0;
    for (const wire of [first, next]) wire.say('/user/queue/errors', { code: 0, message: 'a mark' });
    await until('both were heard', () => marks === 2);
    await writer.stop();
    return events;
  };
  assert.equal(await typed(1), 1, 'by the one in use');
  next.release();
  await until('the first is left', () => first.held.length === 1);
  assert.equal(await typed(2), 2, 'by the one in use now');
  first.release();
  await reader.client.stop();
  reader.line.close();
});

test('the last connection is used until every subscription has begun on the next', async () => {
  const seen = [];
  const mover = await onLine({}, (client) => client.subscribe('/sub/1', (message) => seen.push(textOf(message))));
  const { client, first } = mover;
  const next = await second(mover);
  await client.send('/pub/1', { message: 'by the last' });
  // All but one: that is not all.
  const [last] = next.held.splice(-1);
  next.held.splice(0).forEach(({ pass }) => pass());
  await client.send('/pub/1', { message: 'still by the last' });
  assert.deepEqual([first, next].map((wire) => wire.frames('SEND').length), [2, 0]);
  assert.deepEqual(first.frames('DISCONNECT'), []);
  next.holds = undefined;
  last.pass();
  await until('the last is left', () => first.frames('DISCONNECT').length === 1);
  await client.send('/pub/1', { message: 'by the next' });
  assert.deepEqual([first, next].map((wire) => wire.frames('SEND').length), [2, 1]);
  await until('all', () => seen.length === 3);
  assert.deepEqual(seen, ['by the last', 'still by the last', 'by the next']);
  await client.stop();
  mover.line.close();
});

test('new sends wait until those on the last connection are settled', async () => {
  const mover = await onLine({}, () => {});
  const { client, first } = mover;
  const one = client.send('/pub/2', { message: 'one' });
  await one;
  first.holds = RECEIPTS;
  const two = client.send('/pub/2', { message: 'two' });
  const next = await second(mover);
  next.release();
  await until('the first is left', () => first.frames('DISCONNECT').length === 1);
  const three = client.send('/pub/2', { message: 'three' });
  // What may be lost does not wait; had the send not waited, it would have come before.
  client.publish('/pub/2/typing', {});
  await until('a mark', () => next.frames('SEND').length > 0);
  assert.ok(next.frames('SEND').every((frame) => frame.includes('/typing')), next.sent);
  first.release();
  await Promise.all([two, three]);
  assert.deepEqual(
    [first, next].map((wire) => wire.frames('SEND').map((frame) => frame.match(/"message":"(.*)"/)?.[1])),
    [['one', 'two'], [undefined, 'three']],
  );
  await client.stop();
  mover.line.close();
});
