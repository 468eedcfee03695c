// stompjs clients on Node's sockets, and waiting with a bound.

import assert from 'node:assert/strict';
import { Client } from '@stomp/stompjs';
import { WebSocket } from 'ws';

const PATIENCE_MS = 20_000;

/** Resolves when `holds` does, looked at after everything that happens; fails after a bound. */
export async function until(what, holds) {
  const end = Date.now() + PATIENCE_MS;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// In Node there is no WebSocket of a browser that stompjs could take; this is what it finds instead.
globalThis.WebSocket = WebSocket;

/** Opens sockets as a page of this origin with this cookie does, from now on. */
export function asPage(origin, cookie) {
  globalThis.WebSocket = class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { origin, headers: { Cookie: cookie } });
    }
  };
}

/** A client that gathers in `seen` what happens to it; `token` goes into CONNECT. */
export function client({ url, token, ...settings }) {
  const made = new Client({
    brokerURL: url,
    connectHeaders: token ? { Authorization: `Bearer ${token}` } : {},
    reconnectDelay: 0,
    heartbeatIncoming: 0,
    heartbeatOutgoing: 0,
    ...settings,
  });
  made.seen = { errors: [], closes: [], connects: 0, debug: [] };
  made.debug = (text) => made.seen.debug.push(text);
  made.onStompError = (frame) => {
    made.seen.errors.push(frame.headers);
    settings.onStompError?.(frame);
  };
  made.onWebSocketClose = (event) => made.seen.closes.push(event.code);
  made.onConnect = (frame) => {
    settings.onConnect?.(frame);
    made.seen.connects += 1;
  };
  return made;
}

export async function connected(settings) {
  const made = client(settings);
  made.activate();
  await until('connected', () => made.seen.connects > 0);
  return made;
}

/** Does what `act` does with a receipt id, and resolves with the RECEIPT's headers. */
export async function receipt(made, act) {
  const id = `r${(made.receipts = (made.receipts ?? 0) + 1)}`;
  let headers;
  made.watchForReceipt(id, (frame) => (headers = frame.headers));
  const result = act({ receipt: id });
  await until(`receipt ${id}`, () => headers);
  return { headers, result };
}

/** Subscribes, waits for the receipt and gathers what comes. */
export async function subscribed(made, destination, headers = {}) {
  const messages = [];
  const { headers: told, result } = await receipt(made, (wanted) =>
    made.subscribe(destination, (message) => messages.push(message), { ...headers, ...wanted }));
  return { messages, told, subscription: result };
}

/** Leaves, which stompjs does at the RECEIPT of its DISCONNECT; then the server closes the socket. */
export async function leave(made) {
  await made.deactivate();
  assert.ok(made.seen.debug.some((line) => line.includes('receipt-id:close-')), 'a RECEIPT for the DISCONNECT');
  assert.deepEqual(made.seen.closes, [1000]);
  assert.deepEqual(made.seen.errors, []);
}

export const chat = (text) => JSON.stringify({ message: text });
export const textOf = (message) => JSON.parse(message.body).message;
