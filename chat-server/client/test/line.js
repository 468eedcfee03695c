// A line to the server in which a test can hold frames up and speak for the server.

import { WebSocket, WebSocketServer } from 'ws';
import { until, url } from './support.js';

/** One connection over the line. */
class Wire {
  /** Frames of the client that have gone to the server. */
  sent = [];
  /** Frames of the server that have gone to the client. */
  came = [];
  /** Frames, of either, that wait, and the end of the connection behind them. */
  held = [];
  /** Which frames are held up, by how they begin. */
  holds;
  #client;

  constructor(client, holds) {
    this.#client = client;
    this.holds = holds;
    const server = new WebSocket(url, client.protocol);
    const opened = new Promise((resolve) => server.on('open', resolve));
    client.on('message', (data) => opened.then(() => this.#pass(data.toString(), this.sent, server)));
    server.on('message', (data) => this.#pass(data.toString(), this.came, client));
    client.on('close', () => opened.then(() => server.close()));
    // What is held up comes before the end.
    server.on('close', () => (this.held.length > 0 ? this.held.push({ pass: () => client.close() }) : client.close()));
    server.on('error', () => client.terminate());
  }

  #pass(frame, passed, to) {
    const pass = () => {
      passed.push(frame);
      to.send(frame);
    };
    if (this.holds?.test(frame)) this.held.push({ frame, pass });
    else pass();
  }

  /** Lets all go that was held up, and holds nothing more. */
  release() {
    this.holds = undefined;
    for (const { pass } of this.held.splice(0)) pass();
  }

  /** A message as the server would send it, on the client's subscription to this destination. */
  say(destination, body) {
    const subscribed = this.sent.find((frame) => frame.startsWith('SUBSCRIBE') && frame.includes(`:${destination}\n`));
    const [, id] = subscribed.match(/\nid:(.*)\n/);
    const head = `MESSAGE\nsubscription:${id}\ndestination:${destination}\nmessage-id:by-line`;
    this.#client.send(`${head}\n\n${JSON.stringify(body)}\0`);
  }

  /** The client is to come again, now. */
  drain() {
    this.say('/user/queue/system', { type: 'drain', reason: 'restart', reconnectAfterMs: 0 });
  }

  /** The client's frames that begin so. */
  frames(command) {
    return this.sent.filter((frame) => frame.startsWith(command));
  }
}

/** Where clients connect to; each of their connections is in `wires`. */
export class Line {
  wires = [];
  /** What the next connections hold up. */
  holds;
  #server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: ([first]) => first });

  static async open() {
    const line = new Line();
    line.#server.on('connection', (client) => line.wires.push(new Wire(client, line.holds)));
    await until('it listens', () => line.#server.address());
    return line;
  }

  /** Settings of stompjs. */
  get stomp() {
    const brokerURL = `ws://127.0.0.1:${this.#server.address().port}/conn`;
    return { brokerURL, heartbeatIncoming: 0, heartbeatOutgoing: 0 };
  }

  close() {
    this.#server.close();
  }
}
