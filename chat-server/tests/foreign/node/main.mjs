// One scenario against a running server: node main.mjs SCENARIO URL TOKEN1 TOKEN2. Exits with 0 if all is as it must be.

import assert from 'node:assert/strict';
import { Versions } from '@stomp/stompjs';
import { asPage, chat, client, connected, leave, receipt, subscribed, textOf, until } from './clients.mjs';

const [scenario, url, token, otherToken] = process.argv.slice(2);
const MIB = 1 << 20;
/** Messages that may wait for an ACK. */
const WINDOW = 1000;

const say = (made, text, more = {}) => made.publish({ destination: '/pub/1', body: chat(text), ...more });
/** The same, and its receipt. */
const tell = (made, text) => receipt(made, (headers) => say(made, text, { headers }));
const numbers = (count) => Array.from({ length: count }, (_, at) => String(at + 1));

/** More messages than a window holds, at one who acknowledges them and at one who need not. */
async function windowFull(made, ack) {
  const waiting = await subscribed(made, '/sub/1', { ack });
  const auto = await subscribed(made, '/sub/1');
  for (const text of numbers(WINDOW + 20)) say(made, text);
  await until('all', () => auto.messages.length === WINDOW + 20 && waiting.messages.length >= WINDOW);
  await holds(made, waiting, WINDOW);
  return waiting;
}

/** So many messages have come, and no further one comes before an answer does. */
async function holds(made, { messages }, count) {
  await until(`message ${count}`, () => messages.length >= count);
  await receipt(made, (headers) => made.publish({ destination: '/pub/2', body: 'a question', headers }));
  assert.deepEqual(messages.map(textOf), numbers(count));
}

const scenarios = {
  async chat() {
    const one = await connected({ url, token });
    const two = await connected({ url, token: otherToken });
    const hears = [await subscribed(one, '/sub/1'), await subscribed(two, '/sub/1')];
    await tell(one, '안녕하세요: \\ 줄\n바꿈');
    await tell(two, 'hello');
    for (const { messages } of hears) {
      await until('both messages', () => messages.length === 2);
      assert.deepEqual(messages.map(textOf), ['안녕하세요: \\ 줄\n바꿈', 'hello']);
      assert.deepEqual(messages.map(({ headers }) => headers.seq), ['1', '2']);
    }
    hears[0].subscription.unsubscribe();
    await tell(one, 'unheard');
    await until('the third', () => hears[1].messages.length === 3);
    assert.equal(hears[0].messages.length, 2);
    await leave(one);
    await leave(two);
  },

  async versions() {
    for (const version of ['1.0', '1.1', '1.2']) {
      const made = await connected({ url, token, stompVersions: new Versions([version]) });
      assert.equal(made.connectedVersion, version);
      assert.equal(made.webSocket.protocol, `v${version.replace('.', '')}.stomp`);
      const { messages } = await subscribed(made, '/sub/1', { ack: 'client' });
      await tell(made, `v${version}`);
      await until('the message', () => messages.length === 1);
      assert.equal(textOf(messages[0]), `v${version}`);
      await receipt(made, (headers) => messages[0].ack(headers));
      await leave(made);
    }
    const made = await connected({ url, token });
    assert.equal(made.connectedVersion, '1.2', 'the best of all');
    await leave(made);
  },

  // One ACK in the full window of `client` stands for all before it.
  async acksOfAll() {
    const made = await connected({ url, token });
    const waiting = await windowFull(made, 'client');
    waiting.messages[9].ack();
    await holds(made, waiting, WINDOW + 10);
    await leave(made);
  },

  // In that of `client-individual` it stands for one. A refused message comes again.
  async acksOfEach() {
    const made = await connected({ url, token });
    const waiting = await windowFull(made, 'client-individual');
    waiting.messages[9].ack();
    await holds(made, waiting, WINDOW + 1);
    const { messages } = waiting;
    messages[1].nack();
    await until('it again', () => messages.length === WINDOW + 2);
    assert.equal(textOf(messages.at(-1)), '2');
    assert.equal(messages.at(-1).headers.redelivered, 'true');
    messages.at(-1).ack();
    await until('one more', () => messages.length === WINDOW + 3);
    assert.equal(textOf(messages.at(-1)), String(WINDOW + 2));
    await leave(made);
  },

  async transactions() {
    const made = await connected({ url, token });
    const { messages } = await subscribed(made, '/sub/1');
    const kept = made.begin();
    const dropped = made.begin();
    for (const text of ['in 1', 'in 2']) say(made, text, { headers: { transaction: kept.id } });
    say(made, 'never', { headers: { transaction: dropped.id } });
    await tell(made, 'out');
    kept.commit();
    dropped.abort();
    await tell(made, 'last');
    await until('all', () => messages.length === 4);
    assert.deepEqual(messages.map(textOf), ['out', 'in 1', 'in 2', 'last']);
    await leave(made);
  },

  async binary() {
    const bytes = Uint8Array.from({ length: 1024 }, (_, at) => at % 256);
    const headers = { 'content-type': 'application/octet-stream' };
    for (const settings of [{}, { forceBinaryWSFrames: true }]) {
      const made = await connected({ url, token, ...settings });
      const { messages } = await subscribed(made, '/sub/2');
      made.publish({ destination: '/pub/2', binaryBody: bytes, headers });
      await until('the bytes', () => messages.length === 1);
      assert.deepEqual(messages[0].binaryBody, bytes);
      assert.equal(messages[0].headers['content-type'], 'application/octet-stream');
      await leave(made);
    }
  },

  async tooLarge() {
    const made = await connected({ url, token });
    made.publish({ destination: '/pub/2', body: 'x'.repeat(MIB) });
    await until('closed', () => made.seen.closes.length > 0);
    assert.equal(made.seen.errors[0]?.code, '1008', JSON.stringify(made.seen.errors));
    assert.deepEqual(made.seen.closes, [1009]);
  },

  async large() {
    for (const settings of [{}, { forceBinaryWSFrames: true }, { splitLargeFrames: true }]) {
      const made = await connected({ url, token, ...settings });
      const { messages } = await subscribed(made, '/sub/2');
      const body = '가'.repeat(MIB / 4) + 'x'.repeat(MIB / 4);
      assert.equal(Buffer.byteLength(body), MIB);
      await receipt(made, (headers) => made.publish({ destination: '/pub/2', body, headers }));
      await until('all of it', () => messages.length === 1);
      assert.ok(messages[0].body === body, 'the body is as it was sent');
      await leave(made);
    }
  },

  async heartBeats() {
    const made = await connected({ url, token, heartbeatIncoming: 1000, heartbeatOutgoing: 1000 });
    const count = (text) => made.seen.debug.filter((line) => line.includes(text)).length;
    assert.equal(count('send PING every 1000ms') + count('check PONG every 1000ms'), 2);
    await until('beats both ways', () => count('<<< PONG') >= 3 && count('>>> PING') >= 3);
    await leave(made);
  },

  // The socket breaks four times while another member writes.
  async resume() {
    const messages = [];
    const reader = client({
      url, token, reconnectDelay: 20,
      onConnect: () => {
        const last = messages.at(-1)?.headers['message-id'] ?? '0';
        reader.subscribe('/sub/1', (message) => messages.push(message), { 'resume-after': last });
      },
    });
    reader.activate();
    await until('connected', () => reader.seen.connects === 1);
    const writer = await connected({ url, token: otherToken });
    for (const text of numbers(200)) {
      await tell(writer, text);
      if (text % 50 === 25) {
        await until('connected', () => reader.connected);
        reader.webSocket.terminate();
      }
    }
    await until('all', () => messages.length >= 200);
    assert.deepEqual(messages.map(textOf), numbers(200));
    assert.equal(reader.seen.connects, 5);
    await reader.deactivate();
    await leave(writer);
  },

  // As the first front end does it: a page of its origin, the cookie alone says who it is.
  async frontEnd() {
    const settings = { url, heartbeatIncoming: 4000, heartbeatOutgoing: 4000, reconnectDelay: 5000 };
    asPage('http://localhost:3000', `accessToken=${token}`);
    const made = await connected(settings);
    const messages = [];
    made.subscribe('/sub/1', (message) => messages.push(JSON.parse(message.body)));
    made.subscribe('/sub/alarm/1', () => {});
    made.publish({ destination: '/pub/1', body: JSON.stringify({ message: '계세요?' }) });
    await until('the echo', () => messages.length === 1);
    const [{ createdAt, ...message }] = messages;
    assert.deepEqual(message, { chatRoomId: 1, chatMessageId: (1 << 22) + 1, senderId: 1, message: '계세요?' });
    assert.match(createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$/);
    await leave(made);

    asPage('http://localhost:3000', 'accessToken=nonsense');
    const stranger = client({
      ...settings,
      onStompError: ({ headers }) => headers.message === 'Authentication failed' && stranger.deactivate(),
    });
    stranger.activate();
    await until('it gives up', () => stranger.seen.closes.length > 0 && !stranger.active);
    assert.deepEqual(stranger.seen.errors.map(({ message: text }) => text), ['Authentication failed']);
    assert.equal(stranger.seen.connects, 0);
  },

  // The nodes stop one after the other. The first front end begins its rooms again only after an ERROR; after a plain
  // loss of its socket it asks for nothing but its alarms.
  async rollingRestart() {
    const [urls, stops] = [process.env.CHAT_URLS, process.env.CHAT_STOPS].map((list) => list.split(','));
    asPage('http://localhost:3000', `accessToken=${token}`);
    const heard = [];
    let [at, hasRooms] = [0, false];
    const front = client({
      heartbeatIncoming: 4000, heartbeatOutgoing: 4000, reconnectDelay: 20,
      beforeConnect: () => (front.brokerURL = urls[at]),
      onConnect: () => {
        front.subscribe('/sub/alarm/1', () => {});
        if (hasRooms) return;
        hasRooms = true;
        for (const room of [1, 2]) front.subscribe(`/sub/${room}`, (message) => heard.push(textOf(message)));
      },
      onStompError: ({ headers }) => {
        assert.equal(headers.message, 'Server restarting, reconnect');
        assert.equal(headers.code, '8007');
        hasRooms = false;
      },
    });
    front.activate();
    for (const [node, url] of urls.entries()) {
      await until('connected', () => front.seen.connects === node + 1);
      await tell(front, `own ${node}`); // What it has asked for before has begun.
      const writer = await connected({ url, token: otherToken });
      await tell(writer, `room 1 on ${node}`);
      await receipt(writer, (headers) =>
        writer.publish({ destination: '/pub/2', body: chat(`room 2 on ${node}`), headers }));
      await leave(writer);
      const all = Array.from({ length: node + 1 }, (_, of) => [`own ${of}`, `room 1 on ${of}`, `room 2 on ${of}`]).flat();
      await until('both rooms', () => heard.length === all.length);
      assert.deepEqual(heard.toSorted(), all.toSorted());
      if (node === stops.length) break;
      at = node + 1;
      assert.equal((await fetch(stops[node], { method: 'POST' })).status, 202);
    }
    assert.deepEqual(front.seen.closes, stops.map(() => 1012));
    assert.equal(front.seen.errors.length, stops.length);
    await front.deactivate();
  },
};

await scenarios[scenario]();
console.log(`${scenario} is as it must be`);
process.exit(0);
