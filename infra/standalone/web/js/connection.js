// The one STOMP connection of this tab: opens it, keeps it open, comes back when it is lost.

import { Client } from '/vendor/stompjs/index.js';

/** What the server says to a token it does not take; it must not be shown again. */
const REFUSED = 'Authentication failed';

/** The close code of a member who is shut out. */
const BLOCKED = 4403;

/** Waits between attempts grow from the first to the last of these, each at random up to that. */
const RETRY_FIRST_MS = 300;
const RETRY_MAX_MS = 10_000;

/** 10 s: a dead network is noticed after two of these. */
const HEAR_EVERY_MS = 10_000;

export class Connection {
  /** `on` is told: state('connecting' | 'open' | 'waiting' | 'blocked'), ready(). */
  constructor(session, on) {
    this.session = session;
    this.on = on;
    this.attempts = 0;
    this.receipts = 0;
    this.client = new Client({
      brokerURL: `${location.protocol.replace('http', 'ws')}//${location.host}/conn`,
      // All waiting is done in `beforeConnect`, where it can be cut short.
      reconnectDelay: 1,
      connectionTimeout: 10_000,
      heartbeatIncoming: HEAR_EVERY_MS,
      // Timers of hidden tabs run late, and the server would think us gone. It pings by itself, and
      // the browser answers that without this page.
      heartbeatOutgoing: 0,
      discardWebsocketOnCommFailure: true,
      beforeConnect: () => this.prepare(),
      onConnect: () => this.onConnect(),
      onStompError: (frame) => this.onStompError(frame),
      onWebSocketClose: (event) => this.onClose(event),
    });
    this.wakeUp = () => this.wake?.();
    this.onVisible = () => document.visibilityState === 'visible' && this.wakeUp();
  }

  get isOpen() {
    return this.client.connected;
  }

  start() {
    window.addEventListener('online', this.wakeUp);
    document.addEventListener('visibilitychange', this.onVisible);
    this.client.activate();
  }

  stop() {
    window.removeEventListener('online', this.wakeUp);
    document.removeEventListener('visibilitychange', this.onVisible);
    this.wakeUp();
    return this.client.deactivate();
  }

  /** `handle` gets each message's body and headers; `began` the headers of the receipt. */
  subscribe(destination, handle, { headers = {}, began } = {}) {
    const receipt = `subscribe-${(this.receipts += 1)}`;
    if (began) this.client.watchForReceipt(receipt, (frame) => began(frame.headers));
    const listen = (message) => handle(message.body, message.headers);
    return this.client.subscribe(destination, listen, { ...headers, receipt });
  }

  /** `stored` is called when the server has it. */
  send(destination, body, { headers = {}, stored } = {}) {
    const all = { 'content-type': 'application/json', ...headers };
    if (stored) {
      all.receipt = `send-${(this.receipts += 1)}`;
      this.client.watchForReceipt(all.receipt, stored);
    }
    this.client.publish({ destination, body: JSON.stringify(body), headers: all });
  }

  /** A fresh token keeps the open connection going. */
  showToken(token) {
    if (this.isOpen) this.client.publish({ destination: '/app/token', body: token });
  }

  /** Ends this connection after a while and opens another: the server is about to stop. */
  comeBackAfter(delayMs) {
    setTimeout(() => this.client.forceDisconnect(), delayMs);
  }

  /** Before each attempt: a pause unless it is the first, and a token that is good. */
  async prepare() {
    if (this.attempts > 0) {
      this.on.state('waiting');
      await this.pause(Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.attempts));
    }
    this.attempts += 1;
    this.on.state('connecting');
    // The server may be away; then this attempt fails, and the next one tries both again.
    if (this.refused) await this.session.renew().catch(() => {});
    else await this.session.renewInTime();
    this.refused = false;
    this.client.connectHeaders = { Authorization: `Bearer ${this.session.token}` };
  }

  /** At random up to `maxMs`, so that all who lost a server do not come back at once. */
  pause(maxMs) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.random() * maxMs);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    }).finally(() => {
      this.wake = null;
    });
  }

  onConnect() {
    this.attempts = 0;
    this.on.state('open');
    this.on.ready();
  }

  onStompError(frame) {
    if (frame.headers.message === REFUSED) this.refused = true;
  }

  onClose(event) {
    if (event.code === BLOCKED) {
      this.on.state('blocked');
      this.client.deactivate();
      return;
    }
    this.refused ||= event.code === 4401;
    this.attempts ||= 1;
    if (this.client.active) this.on.state('waiting');
  }
}
