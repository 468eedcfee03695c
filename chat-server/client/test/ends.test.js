// Tokens that end or are no good, and members who are shut out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import { started, token, until } from './support.js';

/** A token that ends in a moment. */
const { CHAT_ENDING_TOKEN: endingToken } = process.env;

/** A provider of tokens that gives these one after the other, the last one again and again; and what it was asked. */
function provider(...tokens) {
  const asked = [];
  const give = ({ fresh }) => {
    asked.push(fresh);
    return tokens[Math.min(asked.length, tokens.length) - 1];
  };
  return { give, asked };
}

test('a connection whose token ends comes back with a fresh one, or stays if it was shown one', async () => {
  const [comes, stays] = [provider(endingToken, token), provider(endingToken, 'no second one')];
  const [coming, staying] = [comes, stays].map(({ give }) => started({ token: give }));
  await until('both are there', () => coming.isOpen && staying.isOpen);
  staying.showToken(token);
  await until('one asked again', () => comes.asked.length === 2);
  for (const made of [coming, staying]) await made.send('/pub/1', { message: 'still here' });
  assert.deepEqual([comes.asked, stays.asked], [[false, true], [false]]);
  assert.deepEqual(staying.states, ['connecting', 'open']);
  await Promise.all([coming.stop(), staying.stop()]);
});

test('a token that is refused is fetched anew', async () => {
  const { give, asked } = provider('nonsense', 'more of it', token);
  const made = started({ token: give });
  await until('it is there', () => made.isOpen);
  assert.deepEqual(asked, [false, true, true]);
  await made.stop();
});

test('tokens that are refused again and again are not shown for ever', async () => {
  const { give, asked } = provider('nonsense');
  const made = started({ token: give });
  await until('it gives up', () => made.state === 'unauthorized');
  assert.deepEqual(asked, [false, true, true, true]);
});

test('without a token or a cookie nobody goes on', async () => {
  const made = started({ token: undefined });
  await until('it gives up', () => made.state === 'unauthorized');
  assert.deepEqual(made.states, ['connecting', 'unauthorized']);
});

test('a token that cannot be had now is asked for again', async () => {
  let asked = 0;
  const made = started({
    token: async () => {
      asked += 1;
      if (asked < 3) throw new Error('the market is away');
      return token;
    },
  });
  await until('it is there', () => made.isOpen);
  assert.equal(asked, 3);
  await made.stop();
});

/** A server that accepts every CONNECT and closes with this code at the first SUBSCRIBE. */
async function closing(code) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: ([first]) => first });
  let connections = 0;
  server.on('connection', (socket) => {
    connections += 1;
    socket.on('message', (data) => {
      const text = data.toString();
      if (text.startsWith('CONNECT')) socket.send('CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0');
      if (text.startsWith('SUBSCRIBE')) socket.close(code);
    });
  });
  await until('it listens', () => server.address());
  const stomp = { brokerURL: `ws://127.0.0.1:${server.address().port}/conn`, heartbeatIncoming: 0, heartbeatOutgoing: 0 };
  return { server, stomp, count: () => connections };
}

test('a member who is shut out does not come back', async () => {
  const { server, stomp, count } = await closing(4403);
  const made = started({ stomp, random: () => 0 });
  await until('it gives up', () => made.state === 'blocked');
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([made.states, count()], [['connecting', 'blocked'], 1]);
  await assert.rejects(made.send('/pub/1', { message: 'x' }), { code: 'stopped' });
  server.close();
});

test('a server in trouble is left alone for longer and longer', async () => {
  const { server, stomp, count } = await closing(1013);
  const waits = [];
  const made = started({ stomp, random: () => (waits.push(count()), 1) });
  await until('it tries', () => count() >= 4);
  assert.ok(made.states.every((state) => ['connecting', 'waiting'].includes(state)), made.states);
  assert.deepEqual(waits.slice(0, 3), [1, 2, 3], 'a pause before each but the first');
  await made.stop();
  for (const socket of server.clients) socket.terminate();
  server.close();
});
