// A server that takes few subscriptions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { started, until } from './support.js';

test('a subscription too many is refused, and the others go on', async () => {
  const made = started();
  const heard = [];
  const refused = [];
  // Two are the client's own.
  made.subscribe('/sub/1', (message) => heard.push(JSON.parse(message.body).message));
  made.subscribe('/sub/2', () => {}, { refused: (error) => refused.push(error) });
  await until('it is open', () => made.isOpen);
  made.subscribe('/sub/1/events', () => {}, { refused: (error) => refused.push(error) });
  await until('both are refused', () => refused.length === 2);
  assert.deepEqual(refused.map(({ code, message }) => [code, message]),
    Array(2).fill([1009, 'too many subscriptions: 3 at most']));
  await made.send('/pub/1', { message: 'still here' });
  await until('it comes', () => heard.length === 1);
  assert.deepEqual(made.states, ['connecting', 'open']);
  await made.stop();
});
