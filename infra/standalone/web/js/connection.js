// The chat connection of this tab: the client module that every front end of ours shares, with the page's token, and
// the page's ways of knowing that the network is back.

import { ChatClient } from '/vendor/chat-client.js';
import { Client } from '/vendor/stompjs/index.js';

/** Heart-beat interval of 10 s: a dead network is detected after two of them. */
const HEARTBEAT_MS = 10_000;

export class Connection {
  /** Calls of `on`: state('connecting' | 'open' | 'waiting' | 'blocked' | 'unauthorized'), ready(). */
  constructor(session, on) {
    this.session = session;
    this.client = new ChatClient({
      Client,
      stomp: {
        brokerURL: `${location.protocol.replace('http', 'ws')}//${location.host}/conn`,
        heartbeatIncoming: HEARTBEAT_MS,
        // Timers of hidden tabs run late, and heart-beats would be missed. The server pings by itself, and
        // the browser answers that without this page.
        heartbeatOutgoing: 0,
        discardWebsocketOnCommFailure: true,
      },
      // Without a token the browser's cookies authenticate.
      ...(session.token && { token: (wish) => this.token(wish) }),
      onState: (state) => {
        if (state === 'stopped') return;
        on.state(state);
        if (state === 'open') on.ready();
      },
      retryMaxMs: 10_000,
      openMs: 10_000,
    });
    this.wakeUp = () => this.client.wake();
    this.onVisible = () => document.visibilityState === 'visible' && this.wakeUp();
  }

  get isOpen() {
    return this.client.isOpen;
  }

  start() {
    window.addEventListener('online', this.wakeUp);
    document.addEventListener('visibilitychange', this.onVisible);
    this.client.start();
  }

  stop() {
    window.removeEventListener('online', this.wakeUp);
    document.removeEventListener('visibilitychange', this.onVisible);
    return this.client.stop();
  }

  /** `handle` receives body and headers of each message; the rest is as in the client module. */
  subscribe(destination, handle, options) {
    return this.client.subscribe(destination, (message) => handle(message.body, message.headers), options);
  }

  /** A promise that resolves when the server has stored the message; retried under this id, it is stored once. */
  send(destination, body, id) {
    return this.client.send(destination, body, { id });
  }

  /** Publishes an event that may be lost. */
  publish(destination, body) {
    this.client.publish(destination, body, { 'content-type': 'application/json' });
  }

  /** Renews the token of the open connection. */
  showToken(token) {
    this.client.showToken(token);
  }

  /** The server may be away; then this attempt fails, and the next one tries both again. */
  async token({ fresh }) {
    if (fresh) await this.session.renew().catch(() => {});
    else await this.session.renewInTime();
    return this.session.token;
  }
}
