// stompjs clients on Node's sockets, and waiting with a bound.

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

/** A client for `url`; `token` goes into CONNECT, `cookie` into the upgrade. */
export function client({ url, token, cookie, ...settings }) {
  const headers = cookie ? { Cookie: cookie } : {};
  const made = new Client({
    webSocketFactory: () => new WebSocket(url, ['v12.stomp', 'v11.stomp', 'v10.stomp'], { headers }),
    connectHeaders: token ? { Authorization: `Bearer ${token}` } : {},
    reconnectDelay: 0,
    heartbeatIncoming: 0,
    heartbeatOutgoing: 0,
    ...settings,
  });
  made.seen = { errors: [], closes: [], connects: 0, debug: [] };
  made.debug = (text) => made.seen.debug.push(text);
  made.onStompError = (frame) => made.seen.errors.push(frame.headers);
  made.onWebSocketClose = (event) => made.seen.closes.push(event.code);
  const { onConnect } = settings;
  made.onConnect = (frame) => {
    onConnect?.(frame);
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

export const chat = (text) => JSON.stringify({ message: text });
export const textOf = (message) => JSON.parse(message.body).message;
