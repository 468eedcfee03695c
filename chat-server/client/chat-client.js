// A chat connection that reconnects, resumes and retries: wraps stompjs, whose `Client` is passed in, so this file has
// no dependencies.
//
// Every WebSocket is a `Link` that is used once; `ChatClient` decides when to open another one, and moves subscriptions
// and unconfirmed sends to it. When the server announces that it is about to stop, the next link is opened and
// subscribed before the current one is closed, so that the client is never offline.
//
// What it does not do: acknowledge messages (subscriptions are `ack:auto`), store anything over a reload.

/** The server's close codes after which a client must not simply reconnect. */
const TOKEN_EXPIRED = 4401;
const BLOCKED = 4403;

/** The ERROR after a CONNECT with an invalid token or cookies. An outage has another text. */
const REFUSED = 'Authentication failed';

/** Codes of an ERROR that is retryable. */
const UNAVAILABLE = 8007;

const DEFAULTS = {
  /** Backoff: the n-th wait is random between 0 and first · 2ⁿ, up to max. */
  retryFirstMs: 1_000,
  retryMaxMs: 30_000,
  /** A connection that lasted this long resets the backoff. A shorter one may be due to a server in trouble. */
  stableMs: 5_000,
  /** Time limit from opening the socket until every subscription is confirmed. */
  openMs: 20_000,
  /** Time limit for the server's receipt of DISCONNECT. */
  leaveMs: 10_000,
  /** Sends without a receipt; more are refused at once. */
  pendingMax: 256,
  /** A send without a receipt for this long fails. The server deduplicates for 10 min; a later retry could be stored
   *  twice. */
  sendMs: 300_000,
  /** Retries of a send after a retryable error, with growing waits. */
  sendTriesMax: 3,
  /** Refused tokens in a row, each newly fetched, before the client gives up. */
  refusalsMax: 3,
};

/** Why a send failed: `code` is the server's number, or `full`, `late`, `stopped`. */
export class ChatError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'ChatError';
    this.code = code;
  }
}

/** How long to wait before attempt `attempt` (the first is 0, at once): full jitter over a doubling range. */
export function backoff(attempt, { retryFirstMs, retryMaxMs }, random = Math.random) {
  if (attempt === 0) return 0;
  return random() * Math.min(retryMaxMs, retryFirstMs * 2 ** (attempt - 1));
}

export class ChatClient {
  #settings;
  #subscriptions = new Set();
  /** Sends without a receipt, in order, by client message id. */
  #pending = new Map();
  /** The current link. */
  #current = null;
  /** The link that is being opened. */
  #opening = null;
  #state = 'stopped';
  #attempts = 0;
  #connecting = false;
  #refused = false;
  #refusals = 0;
  #wake = null;

  /**
   * `Client`: the class of @stomp/stompjs 7. `stomp`: its settings, `brokerURL` among them.
   * `token({ fresh })`: the access token for the next connection, or a promise of it; `fresh` after the last one was
   * refused or has expired. Without it cookies authenticate.
   * `onState(state)`: `connecting`, `open`, `waiting`; `unauthorized` (log in again), `blocked`, `stopped`: final.
   * `onError(error)`: errors on `/user/queue/errors` that belong to no send of this client.
   * Time limits and bounds: see DEFAULTS.
   */
  constructor({ Client, stomp, token, onState = () => {}, onError = () => {}, random = Math.random, ...bounds }) {
    this.#settings = { ...DEFAULTS, ...bounds, Client, stomp, token, onState, onError, random };
    this.#subscribe('/user/queue/errors', (message, link) => this.#onError(JSON.parse(message.body), link), {
      everyLink: true,
    });
    this.#subscribe('/user/queue/system', (message, link) => this.#onSystem(JSON.parse(message.body), link), {
      everyLink: true,
    });
  }

  get state() {
    return this.#state;
  }

  get isOpen() {
    return this.#current !== null;
  }

  /** Sends that the server has not confirmed yet. */
  get pendingCount() {
    return this.#pending.size;
  }

  start() {
    if (!this.#isOver) return;
    this.#attempts = 0;
    this.#refusals = 0;
    this.#setState('connecting');
    this.#connect();
  }

  /** Disconnects; sends in flight are settled first, the others fail. */
  async stop() {
    await this.#end('stopped');
  }

  /** Ends a backoff now: the network is back, or the page has become visible. */
  wake() {
    this.#wake?.();
  }

  /** Renews the token of an open connection, so that it outlives the first one. */
  showToken(token) {
    for (const link of [this.#current, this.#opening]) link?.publish({ destination: '/app/token', body: token });
  }

  /**
   * Subscribes to a destination over all connections; each message of a log is delivered once.
   * `handle(message)`: a message of stompjs. `resumeAfter`: everything after this message id; `history`: the last so
   * many; without both new messages only. `headers`: further headers of SUBSCRIBE. `began({ head, recovered, resumed })`:
   * called on every connection once the subscription is active; `recovered` false: missed messages have expired, load
   * the history. `refused(error)`: not allowed, or beyond the limit; the subscription is dropped (in the first case the
   * server also closes the connection, so the others are subscribed again).
   */
  subscribe(destination, handle, options = {}) {
    const subscription = this.#subscribe(destination, handle, options);
    return { unsubscribe: () => this.#unsubscribe(subscription) };
  }

  /**
   * Sends a message; the promise resolves once the server has stored it, and rejects with a ChatError. After a lost
   * connection it is retried under the same client message id (`id`, random by default), so it is stored once.
   */
  send(destination, body, { id = randomId(), headers = {} } = {}) {
    if (this.#isOver) return Promise.reject(new ChatError('stopped', 'not started, or stopped'));
    const known = this.#pending.get(id);
    if (known) return known.promise;
    const { pendingMax, sendMs } = this.#settings;
    if (this.#pending.size >= pendingMax) return Promise.reject(new ChatError('full', 'too many unconfirmed messages'));
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const pending = { id, destination, headers, body: text, link: null, tries: 0 };
    pending.promise = new Promise((resolve, reject) => Object.assign(pending, { resolve, reject }));
    pending.promise.catch(() => {}); // Whoever does not look at it does not want to know.
    pending.late = setTimeout(() => this.#fail(pending, new ChatError('late', 'not confirmed in time')), sendMs);
    this.#pending.set(id, pending);
    this.#flush();
    return pending.promise;
  }

  /** Sends an event that may be lost, such as typing: once, and only while connected. */
  publish(destination, body, headers = {}) {
    this.#current?.publish({ destination, headers, body: typeof body === 'string' ? body : JSON.stringify(body) });
  }

  // ---- connections ---------------------------------------------------------------------------

  get #isOver() {
    return ['stopped', 'blocked', 'unauthorized'].includes(this.#state);
  }

  get #needsLink() {
    return !this.#isOver && (this.#current === null || this.#current.isToLeave);
  }

  #setState(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#settings.onState(state);
  }

  /** Connects until a link is open. Only one such loop runs at a time. */
  async #connect() {
    if (this.#connecting) return;
    this.#connecting = true;
    while (this.#needsLink) {
      await this.#pause();
      if (!this.#needsLink) break;
      this.#attempts += 1;
      const link = await this.#open().catch(() => null);
      if (link) this.#use(link);
    }
    this.#connecting = false;
  }

  #pause() {
    const ms = backoff(this.#attempts, this.#settings, this.#settings.random);
    if (ms === 0) return null;
    if (!this.#current) this.#setState('waiting');
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    }).finally(() => {
      this.#wake = null;
    });
  }

  /** Opens a link and subscribes everything on it; rejects if that fails. */
  async #open() {
    if (!this.#current) this.#setState('connecting');
    const { Client, stomp, token, openMs } = this.#settings;
    const connectHeaders = { ...stomp.connectHeaders };
    if (token) connectHeaders.Authorization = `Bearer ${await token({ fresh: this.#refused })}`;
    if (!this.#needsLink) throw new ChatError('stopped', 'not needed any more');
    const link = new Link(Client, { ...stomp, connectHeaders }, {
      connected: () => this.#onConnected(link),
      refused: () => {
        this.#refused = true;
      },
      denied: (subscription, error) => this.#onDenied(subscription, error),
      closed: (code) => this.#onClosed(link, code),
    });
    this.#opening = link;
    const late = setTimeout(() => link.abort(), openMs);
    try {
      await link.ready;
    } finally {
      clearTimeout(late);
      this.#opening = null;
    }
    return link;
  }

  #onConnected(link) {
    this.#refused = false;
    this.#refusals = 0;
    for (const subscription of this.#subscriptions) {
      // A subscription that is not active on the current link has no position yet: two starts could differ.
      if (!this.#current || this.#current.hasBegun(subscription)) this.#attach(link, subscription);
    }
    this.#checkReady(link);
  }

  /** Makes this link the current one and closes the one before. */
  #use(link) {
    if (link.isClosed || this.#isOver) return void link.abort();
    const last = this.#current;
    this.#current = link;
    link.usedSince = Date.now();
    this.#setState('open');
    last?.leave(this.#settings.leaveMs);
    this.#flush();
  }

  #onClosed(link, code) {
    const wasCurrent = link === this.#current;
    if (wasCurrent) this.#current = null;
    for (const pending of this.#pending.values()) if (pending.link === link) pending.link = null;
    if (code === BLOCKED) return void this.#end('blocked');
    if (code === TOKEN_EXPIRED) this.#refused = true;
    if (link.isRefused) this.#countRefusal();
    if (this.#isOver) return;
    if (wasCurrent) {
      if (Date.now() - link.usedSince >= this.#settings.stableMs) this.#attempts = 0;
      // Other clients have lost theirs at the same moment; only a token expires for a single client.
      if (code !== TOKEN_EXPIRED) this.#attempts ||= 1;
      this.#setState('waiting');
      this.#catchUp();
    }
    this.#flush();
    this.#connect();
  }

  /** Subscriptions that were not active on the current link start on the new one. */
  #catchUp() {
    const link = this.#opening;
    if (!link?.isConnected) return;
    for (const subscription of this.#subscriptions) if (!link.has(subscription)) this.#attach(link, subscription);
    this.#checkReady(link);
  }

  /** Counts a refused login. Without tokens there is no other credential to try. */
  #countRefusal() {
    this.#refusals += 1;
    const { token, refusalsMax } = this.#settings;
    if (!token || this.#refusals > refusalsMax) this.#end('unauthorized');
  }

  /** Ends for this reason. */
  async #end(state) {
    const links = [this.#current, this.#opening];
    this.#setState(state);
    this.wake();
    await Promise.all(links.map((link) => link?.leave(this.#settings.leaveMs)));
    if (links.includes(this.#current)) this.#current = null;
    for (const pending of [...this.#pending.values()]) this.#fail(pending, new ChatError('stopped', 'not sent'));
  }

  // ---- subscriptions -------------------------------------------------------------------------

  #subscribe(destination, handle, options) {
    const subscription = new Subscription(destination, handle, options);
    this.#subscriptions.add(subscription);
    if (this.#current) this.#attach(this.#current, subscription);
    else if (this.#opening?.isConnected) this.#attach(this.#opening, subscription);
    return subscription;
  }

  #unsubscribe(subscription) {
    this.#subscriptions.delete(subscription);
    for (const link of [this.#current, this.#opening]) link?.unsubscribe(subscription);
    if (this.#opening?.isConnected) this.#checkReady(this.#opening);
  }

  #attach(link, subscription) {
    const headers = subscription.headers();
    const resumed = 'resume-after' in headers;
    const hear = (message) => {
      const isUsed = link === this.#current || !this.#current;
      if (this.#subscriptions.has(subscription) && subscription.accepts(message, isUsed)) {
        subscription.handle(message, link);
      }
    };
    link.subscribe(subscription, headers, hear, (receipt) => {
      subscription.begin(receipt, resumed);
      if (link === this.#current) this.#catchUpWith(subscription);
      this.#checkReady(link);
    });
  }

  #onDenied(subscription, { code, message }) {
    if (Number(code) === UNAVAILABLE) return; // The next link asks again.
    this.#subscriptions.delete(subscription);
    subscription.refused(new ChatError(Number(code), message));
  }

  /** The subscription has a position now, so the link that is being opened can start it, too. */
  #catchUpWith(subscription) {
    const link = this.#opening;
    if (link?.isConnected && !link.has(subscription)) this.#attach(link, subscription);
  }

  #checkReady(link) {
    if (link === this.#opening && [...this.#subscriptions].every((one) => link.hasBegun(one))) link.setReady();
  }

  /** Handles a notice: the server is about to stop, or rebalances clients; move after the given time. */
  #onSystem(news, link) {
    if (news.type !== 'drain') return;
    link.leaveAfter(news.reconnectAfterMs ?? 0, () => {
      if (link !== this.#current) return;
      this.#attempts = 0;
      this.#connect();
    });
  }

  // ---- sends ---------------------------------------------------------------------------------

  /** Sends what was not sent on the current link, in order, and not before a link that is closing has settled. */
  #flush() {
    const link = this.#current;
    if (!link) return;
    const all = [...this.#pending.values()];
    if (all.some((pending) => pending.link && pending.link !== link)) return;
    // A send that waits for its retry goes before later sends to the same destination.
    const held = new Set();
    for (const pending of all) {
      if (pending.waits) held.add(pending.destination);
      else if (!pending.link && !held.has(pending.destination)) this.#transmit(link, pending);
    }
  }

  #transmit(link, pending) {
    const receipt = `send-${pending.id}`;
    pending.link = link;
    link.publish(
      {
        destination: pending.destination,
        body: pending.body,
        headers: { 'content-type': 'application/json', ...pending.headers, 'client-message-id': pending.id, receipt },
      },
      () => this.#settle(pending),
    );
  }

  #settle(pending) {
    if (this.#forget(pending)) pending.resolve({ id: pending.id });
  }

  #fail(pending, error) {
    if (this.#forget(pending)) pending.reject(error);
  }

  #forget(pending) {
    clearTimeout(pending.late);
    clearTimeout(pending.waits);
    const was = this.#pending.get(pending.id) === pending && this.#pending.delete(pending.id);
    if (was) this.#flush();
    return was;
  }

  #onError(error, link) {
    const asked = link.takeAsked(error.receiptId);
    if (asked) {
      // One subscription too many: the link continues without it.
      link.unsubscribe(asked);
      this.#onDenied(asked, error);
      return this.#checkReady(link);
    }
    const pending = this.#pending.get(error.clientMessageId);
    if (!pending) return this.#settings.onError(error);
    if (!error.retryable || pending.tries >= this.#settings.sendTriesMax) {
      return this.#fail(pending, new ChatError(error.code, error.message));
    }
    pending.tries += 1;
    pending.link = null;
    pending.waits = setTimeout(() => {
      pending.waits = null;
      this.#flush();
    }, backoff(pending.tries, this.#settings, this.#settings.random));
  }
}

/** A subscription to a destination, over all links. */
class Subscription {
  /** The newest id received of a log. */
  #newest = null;
  /** The head of the log before the first message was received. */
  #start = null;

  constructor(destination, handle, { resumeAfter = null, history, headers = {}, began, refused, everyLink = false }) {
    Object.assign(this, { destination, handle, history, everyLink, more: headers });
    this.began = began ?? (() => {});
    this.refused = refused ?? (() => {});
    this.#start = resumeAfter === null ? null : Number(resumeAfter);
  }

  headers() {
    const after = this.#newest ?? this.#start;
    if (after !== null) return { ...this.more, 'resume-after': String(after) };
    return this.history ? { ...this.more, history: String(this.history) } : this.more;
  }

  begin({ head, recovered }, resumed) {
    const at = Number(head);
    // The log ends earlier than before (a restored backup): continue from its head.
    if (recovered === 'false' && this.#newest > at) this.#newest = this.#start = at;
    else if (!resumed && !this.history && at > 0) this.#start ??= at;
    this.began({ head: at, recovered: recovered !== 'false', resumed });
  }

  /**
   * Whether a message is new. Each link delivers a log in order and, from its start, without holes; so a message that
   * is not after the newest received one came over another link. An event without a log comes over every link, and
   * counts on the current one.
   */
  accepts({ headers }, isUsed) {
    const text = headers['message-id'];
    if (!/^\d+$/.test(text)) return isUsed || this.everyLink;
    const id = Number(text);
    if (this.#newest !== null && id <= this.#newest) return false;
    this.#newest = id;
    return true;
  }
}

/** One WebSocket, from opening to close. */
class Link {
  isConnected = false;
  isClosed = false;
  isRefused = false;
  isToLeave = false;
  usedSince = Infinity;
  #client;
  #heard = new Map();
  #begun = new Set();
  /** Subscriptions without a receipt yet, by the receipt's id. */
  #asked = new Map();
  #receipts = 0;
  #timers = new Set();

  constructor(Client, settings, { connected, refused, denied, closed }) {
    this.ready = new Promise((resolve, reject) => {
      this.setReady = resolve;
      this.setFailed = reject;
    });
    this.ready.catch(() => {}); // It may fail when nobody waits any more.
    this.#client = new Client({
      ...settings,
      reconnectDelay: 0,
      onConnect: () => {
        this.isConnected = true;
        connected();
      },
      onStompError: ({ headers }) => {
        this.isRefused ||= headers.message === REFUSED;
        if (this.isRefused) refused();
        const asked = this.#asked.get(headers['receipt-id']);
        if (asked) denied(asked, headers);
      },
      onWebSocketClose: ({ code }) => {
        if (this.isClosed) return;
        this.isClosed = true;
        this.isConnected = false;
        for (const timer of this.#timers) clearTimeout(timer);
        this.#client.deactivate({ force: true }); // No socket is left; this ends its timers.
        this.setFailed(new Error(`closed with ${code}`));
        closed(code);
      },
    });
    this.#client.activate();
  }

  has(subscription) {
    return this.#heard.has(subscription);
  }

  hasBegun(subscription) {
    return this.#begun.has(subscription);
  }

  /** Takes the pending subscription with this receipt. */
  takeAsked(receipt) {
    const asked = this.#asked.get(receipt);
    this.#asked.delete(receipt);
    return asked;
  }

  subscribe(subscription, headers, hear, began) {
    const receipt = `subscribe-${(this.#receipts += 1)}`;
    this.#asked.set(receipt, subscription);
    this.#client.watchForReceipt(receipt, (frame) => {
      this.#asked.delete(receipt);
      this.#begun.add(subscription);
      began(frame.headers);
    });
    const all = { ...headers, receipt };
    this.#heard.set(subscription, this.#client.subscribe(subscription.destination, hear, all));
  }

  unsubscribe(subscription) {
    if (this.#client.connected) this.#heard.get(subscription)?.unsubscribe();
    this.#heard.delete(subscription);
    this.#begun.delete(subscription);
  }

  publish(frame, stored) {
    if (!this.isConnected || !this.#client.connected) return;
    if (stored) this.#client.watchForReceipt(frame.headers.receipt, stored);
    this.#client.publish(frame);
  }

  /** Schedules the move to another link; calls `due` then, once. */
  leaveAfter(ms, due) {
    if (this.isToLeave || this.leaving) return;
    this.leaving = true;
    this.#later(ms, () => {
      this.isToLeave = true;
      due();
    });
  }

  /** Disconnects: waits, for a bounded time, until the server confirms what was sent before. */
  leave(ms) {
    if (!this.isConnected) return this.abort();
    this.#later(ms, () => this.abort());
    return this.#client.deactivate();
  }

  abort() {
    this.setFailed(new Error('given up'));
    return this.#client.deactivate({ force: true });
  }

  #later(ms, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }
}

/** 128 random bits. `crypto.randomUUID` would need HTTPS on other hosts than localhost. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
