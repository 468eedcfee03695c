// Real clients over a rolling restart: how long is each without a connection? `loadtest offline` starts this.
//
// Takes the name of a JSON file: {url, mode, stompjs, ws, client, members: [{token, room}]}. `mode` is `plain`,
// stompjs as its documentation shows it, or `module`, our client on top of the same stompjs. Prints `ready` when all
// are connected; at the first byte on stdin, or its end, prints a line of JSON and ends.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** All must be connected by then. */
const READY_MS_MAX = 60_000;
/** What was sent last must be confirmed by then. */
const SETTLE_MS_MAX = 30_000;
/** How often each member sends. */
const SEND_EVERY_MS = 500;

const settings = JSON.parse(await readFile(process.argv[2], 'utf8'));
const load = createRequire(resolve(settings.packages, 'package.json'));
const { WebSocket } = load('ws');
const { Client } = load('@stomp/stompjs');
const counts = { connects: 0, refused: 0, closes: {}, sent: 0, confirmed: 0, failed: {} };
const arrivals = new Map();

/** Sums up the time without a connection, from the first connection on. */
class Presence {
  offlineMs = 0;
  away = null;
  present = false;

  arrive() {
    counts.connects += 1;
    const slot = Math.floor(performance.now() / 250);
    arrivals.set(slot, (arrivals.get(slot) ?? 0) + 1);
  }

  set(present) {
    if (present === this.present) return;
    this.present = present;
    if (!present) this.away = performance.now();
    else if (this.away !== null) this.offlineMs += performance.now() - this.away;
  }

  end() {
    if (!this.present && this.away !== null) this.offlineMs += performance.now() - this.away;
  }
}

function stomp(presence) {
  return {
    webSocketFactory: () => {
      const socket = new WebSocket(settings.url, ['v12.stomp']);
      socket.on('open', () => presence.arrive());
      socket.on('unexpected-response', () => {
        counts.refused += 1;
      });
      socket.on('close', (code) => {
        counts.closes[code] = (counts.closes[code] ?? 0) + 1;
      });
      return socket;
    },
    heartbeatIncoming: 10_000,
    heartbeatOutgoing: 10_000,
  };
}

function plain({ token, room }, presence) {
  const client = new Client({
    ...stomp(presence),
    connectHeaders: { Authorization: `Bearer ${token}` },
    onConnect: () => {
      presence.set(true);
      client.subscribe(`/sub/${room}`, () => {});
    },
    onWebSocketClose: () => presence.set(false),
  });
  client.activate();
  return {
    send(text) {
      if (!client.connected) return;
      counts.sent += 1;
      const receipt = text;
      client.watchForReceipt(receipt, () => {
        counts.confirmed += 1;
      });
      client.publish({ destination: `/pub/${room}`, headers: { receipt }, body: JSON.stringify({ message: text }) });
    },
  };
}

async function ours({ token, room }, presence) {
  const { ChatClient } = await import(pathToFileURL(resolve(settings.client)));
  const client = new ChatClient({
    Client,
    stomp: stomp(presence),
    token: () => token,
    onState: (state) => presence.set(state === 'open'),
  });
  client.subscribe(`/sub/${room}`, () => {});
  client.start();
  return {
    send(text) {
      counts.sent += 1;
      const confirmed = () => {
        counts.confirmed += 1;
      };
      const failed = ({ code }) => {
        counts.failed[code] = (counts.failed[code] ?? 0) + 1;
      };
      client.send(`/pub/${room}`, { message: text }).then(confirmed, failed);
    },
  };
}

const presences = [];
const members = await Promise.all(
  settings.members.map((member) => {
    const presence = new Presence();
    presences.push(presence);
    return settings.mode === 'plain' ? plain(member, presence) : ours(member, presence);
  }),
);

const began = performance.now();
while (!presences.every((presence) => presence.present)) {
  if (performance.now() - began > READY_MS_MAX) {
    console.error(`only ${presences.filter((presence) => presence.present).length} are connected`);
    process.exit(1);
  }
  await new Promise((done) => setTimeout(done, 50));
}
counts.connects = 0;
counts.closes = {};
arrivals.clear();
let number = 0;
const sending = setInterval(() => {
  for (const [i, member] of members.entries()) member.send(`o${i}-${(number += 1)}`);
}, SEND_EVERY_MS);
console.log('ready');

await new Promise((done) => {
  process.stdin.once('data', done).once('end', done);
});
clearInterval(sending);
const stopped = performance.now();
// Our module settles every send, sooner or later; stompjs by itself does not.
const settled = () => Object.values(counts.failed).reduce((sum, count) => sum + count, counts.confirmed);
while (settings.mode === 'module' && settled() < counts.sent && performance.now() - stopped < SETTLE_MS_MAX) {
  await new Promise((done) => setTimeout(done, 50));
}
for (const presence of presences) presence.end();
const offline = presences.map((presence) => presence.offlineMs).sort((a, b) => a - b);
console.log(
  JSON.stringify({
    mode: settings.mode,
    clients: offline.length,
    mean_offline_ms: Math.round(offline.reduce((sum, ms) => sum + ms, 0) / offline.length),
    p99_offline_ms: Math.round(offline[Math.ceil(offline.length * 0.99) - 1]),
    max_offline_ms: Math.round(offline.at(-1)),
    connects_in_250_ms_max: Math.max(0, ...arrivals.values()),
    ...counts,
  }),
);
process.exit(0);
