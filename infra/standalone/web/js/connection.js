// The chat connection of this tab: the client module that every front end of ours shares, with the page's token, and
// the page's ways of knowing that the network is back.

import { ChatClient } from '/vendor/chat-client.js';
import { Client } from '/vendor/stompjs/index.js';

/** 10 s: a dead network is noticed after two of these. */
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
        // Timers of hidden tabs run late, and the server would think us gone. It pings by itself, and
        // the browser answers that without this page.
        heartbeatOutgoing: 0,
        discardWebsocketOnCommFailure: true,
      },
      // Without a token of its own the browser's cookies say who this is.
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

  /** `handle` gets each message's body and headers; the rest is as in the client module. */
  subscribe(destination, handle, options) {
    return this.client.subscribe(destination, (message) => handle(message.body, message.headers), options);
  }

  /** A promise that is kept when the server has it. Sent under this name, it is stored once. */
  send(destination, body, id) {
    return this.client.send(destination, body, { id });
  }

  /** What may be lost. */
  publish(destination, body) {
    this.client.publish(destination, body, { 'content-type': 'application/json' });
  }

  /** A fresh token keeps the open connection going. */
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
