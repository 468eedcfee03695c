// One scenario against a running server: node main.mjs SCENARIO URL TOKEN1 TOKEN2. Exits with 0 if all is as it must be.

import assert from 'node:assert/strict';
import { Versions } from '@stomp/stompjs';
import { chat, client, connected, receipt, subscribed, textOf, until } from './clients.mjs';

const [scenario, url, token, otherToken] = process.argv.slice(2);
const MIB = 1 << 20;

const scenarios = {
  async chat() {
    const one = await connected({ url, token });
    const two = await connected({ url, token: otherToken });
    const hears = [await subscribed(one, '/sub/1'), await subscribed(two, '/sub/1')];
    const publish = (made, text) =>
      receipt(made, (headers) => made.publish({ destination: '/pub/1', body: chat(text), headers }));
    await publish(one, '안녕하세요: \\ 줄\n바꿈');
    await publish(two, 'hello');
    for (const { messages } of hears) {
      await until('both messages', () => messages.length === 2);
      assert.deepEqual(messages.map(textOf), ['안녕하세요: \\ 줄\n바꿈', 'hello']);
      assert.deepEqual(messages.map(({ headers }) => headers.seq), ['1', '2']);
    }
    await one.deactivate();
    await two.deactivate();
    assert.deepEqual(one.seen.closes, [1000], 'the DISCONNECT was answered');
  },

  async versions() {
    let said = 0;
    for (const version of ['1.0', '1.1', '1.2']) {
      const made = await connected({ url, token, stompVersions: new Versions([version]) });
      assert.equal(made.connectedVersion, version);
      const { messages } = await subscribed(made, '/sub/1');
      await receipt(made, (headers) => made.publish({ destination: '/pub/1', body: chat(`v${version}`), headers }));
      await until('the message', () => messages.length === 1);
      said += 1;
      assert.equal(messages[0].headers.seq, String(said));
      await made.deactivate();
    }
  },

  async acks() {
    const made = await connected({ url, token });
    const each = await subscribed(made, '/sub/1', { ack: 'client-individual' });
    const all = await subscribed(made, '/sub/1', { ack: 'client' });
    for (const text of ['a', 'b', 'c']) made.publish({ destination: '/pub/1', body: chat(text) });
    await until('three each', () => each.messages.length === 3 && all.messages.length === 3);
    each.messages[0].ack();
    each.messages[1].nack();
    await until('b again', () => each.messages.length === 4);
    assert.equal(textOf(each.messages[3]), 'b');
    assert.equal(each.messages[3].headers.redelivered, 'true');
    each.messages[3].ack();
    await receipt(made, (headers) => all.messages[2].ack(headers));
    assert.deepEqual(made.seen.errors, []);
    await made.deactivate();
  },

  async transactions() {
    const made = await connected({ url, token });
    const { messages } = await subscribed(made, '/sub/1');
    const kept = made.begin();
    for (const text of ['in 1', 'in 2']) {
      made.publish({ destination: '/pub/1', body: chat(text), headers: { transaction: kept.id } });
    }
    await receipt(made, (headers) => made.publish({ destination: '/pub/1', body: chat('out'), headers }));
    kept.commit();
    const dropped = made.begin();
    made.publish({ destination: '/pub/1', body: chat('never'), headers: { transaction: dropped.id } });
    dropped.abort();
    await receipt(made, (headers) => made.publish({ destination: '/pub/1', body: chat('last'), headers }));
    await until('all', () => messages.length === 4);
    assert.deepEqual(messages.map(textOf), ['out', 'in 1', 'in 2', 'last']);
    await made.deactivate();
  },

  async binary() {
    const made = await connected({ url, token });
    const { messages } = await subscribed(made, '/sub/2');
    const bytes = Uint8Array.from({ length: 1024 }, (_, at) => at % 256);
    const headers = { 'content-type': 'application/octet-stream' };
    made.publish({ destination: '/pub/2', binaryBody: bytes, headers });
    await until('the bytes', () => messages.length === 1);
    assert.deepEqual(messages[0].binaryBody, bytes);
    assert.equal(messages[0].headers['content-type'], 'application/octet-stream');
    await made.deactivate();
  },

  async tooLarge() {
    const made = await connected({ url, token });
    made.publish({ destination: '/pub/2', body: 'x'.repeat(MIB) });
    await until('closed', () => made.seen.closes.length > 0);
    assert.equal(made.seen.errors[0]?.code, '1008', JSON.stringify(made.seen));
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
      await made.deactivate();
    }
  },

  async heartBeats() {
    const made = await connected({ url, token, heartbeatIncoming: 1000, heartbeatOutgoing: 1000 });
    const count = (text) => made.seen.debug.filter((line) => line.includes(text)).length;
    await until('beats both ways', () => count('PONG') >= 3 && count('PING') >= 3);
    assert.deepEqual(made.seen.closes, []);
    await made.deactivate();
  },

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
    for (let number = 1; number <= 200; number += 1) {
      await receipt(writer, (headers) =>
        writer.publish({ destination: '/pub/1', body: chat(String(number)), headers }));
      if (number % 50 === 25) reader.webSocket.terminate();
    }
    await until('all', () => messages.length >= 200 && reader.seen.connects >= 5);
    assert.deepEqual(messages.map(textOf), Array.from({ length: 200 }, (_, at) => String(at + 1)));
    await reader.deactivate();
    await writer.deactivate();
  },

  // As the first front end does it: the cookie alone says who it is.
  async frontEnd() {
    const beats = { heartbeatIncoming: 4000, heartbeatOutgoing: 4000 };
    const made = await connected({ url, cookie: `accessToken=${token}`, ...beats });
    const messages = [];
    made.subscribe('/sub/1', (message) => messages.push(JSON.parse(message.body)));
    made.subscribe('/sub/alarm/1', () => {});
    made.publish({ destination: '/pub/1', body: chat('계세요?') });
    await until('the echo', () => messages.length === 1);
    const [{ createdAt, ...message }] = messages;
    assert.deepEqual(message, { chatRoomId: 1, chatMessageId: (1 << 22) + 1, senderId: 1, message: '계세요?' });
    assert.match(createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$/);
    await made.deactivate();

    const stranger = client({ url, cookie: 'accessToken=nonsense', ...beats });
    stranger.activate();
    await until('closed', () => stranger.seen.closes.length > 0);
    assert.equal(stranger.seen.errors[0].message, 'Authentication failed');
    await stranger.deactivate();
  },
};

await scenarios[scenario]();
console.log(`${scenario} is as it must be`);
process.exit(0);
