// What these tests begin with. They run against a server that `cargo test --test server foreign` starts: CHAT_URL, and tokens
// of members 1 and 2, who share rooms 1 and 2.

import { Client } from '@stomp/stompjs';
import { WebSocket } from 'ws';
import { ChatClient } from '../chat-client.js';

const PATIENCE_MS = 20_000;

export const { CHAT_URL: url, CHAT_TOKEN: token, CHAT_OTHER_TOKEN: otherToken } = process.env;

/** Every socket that was opened, and how many are open now. */
export const sockets = [];

// In Node there is no WebSocket of a browser; this is what stompjs finds instead.
globalThis.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.push(this);
  }
};

export const openSockets = () => sockets.filter(({ readyState }) => readyState === WebSocket.OPEN);

/** Resolves when `holds` does; fails after a bound. */
export async function until(what, holds) {
  const end = Date.now() + PATIENCE_MS;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A client that has been started; what it says of itself is in `states`. */
export function started(settings = {}) {
  const states = [];
  const made = new ChatClient({
    Client,
    stomp: { brokerURL: url, heartbeatIncoming: 0, heartbeatOutgoing: 0 },
    token: () => token,
    onState: (state) => states.push(state),
    retryFirstMs: 20,
    retryMaxMs: 200,
    ...settings,
  });
  made.start();
  return Object.assign(made, { states });
}

export const textOf = (message) => JSON.parse(message.body).message;
export const numbers = (count) => Array.from({ length: count }, (_, at) => String(at + 1));
