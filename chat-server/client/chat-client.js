// A chat connection that stays: wraps stompjs, whose `Client` is passed in, so this file depends on nothing.
//
// Every WebSocket is a `Link` that is used once; `ChatClient` decides when there is to be another one, and moves
// subscriptions and unconfirmed sends over to it. When the server says that it is about to stop, the next link is
// opened and subscribed before the last one is left, so that there is no moment without a connection.
//
// What it does not do: acknowledge messages (subscriptions are `ack:auto`), store anything over a reload.

/** The server's close codes that a client must not answer by simply coming back. */
const TOKEN_EXPIRED = 4401;
const BLOCKED = 4403;

/** The ERROR at CONNECT for a token, or cookies, that are no good. An outage says something else. */
const REFUSED = 'Authentication failed';

/** Of an ERROR: the same may work later. */
const UNAVAILABLE = 8007;

const DEFAULTS = {
  /** The n-th wait is random between 0 and first · 2ⁿ, up to max. */
  retryFirstMs: 1_000,
  retryMaxMs: 30_000,
  /** A connection that lasted so long was a success: waits begin anew. One that did not may be a server in trouble. */
  stableMs: 5_000,
  /** From opening the socket until every subscription has begun. */
  openMs: 20_000,
  /** For the server to confirm that everything sent before leaving has arrived. */
  leaveMs: 10_000,
  /** Sends without a receipt; more are refused at once. */
  pendingMax: 256,
  /** A send that nobody confirmed for so long fails. The server knows a name for 10 min; after that, sent again, it
   *  could be stored twice. */
  sendMs: 300_000,
  /** The server says "not now": again, with growing waits, so many times. */
  sendTriesMax: 3,
  /** Tokens refused one after the other, each fetched anew, before giving up. */
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
  /** Sends without a receipt, in their order, by client message id. */
  #pending = new Map();
  /** The link that is used. */
  #current = null;
  /** The one that is being opened. */
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
   * refused or has run out. Without it cookies say who this is.
   * `onState(state)`: `connecting`, `open`, `waiting`; `unauthorized` (log in again), `blocked`, `stopped`: over.
   * `onError(error)`: what the server says on `/user/queue/errors` that is about no send of this client.
   * Times and bounds: see DEFAULTS.
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

  /** Leaves; what was sent before is settled first, the rest fails. */
  async stop() {
    await this.#end('stopped');
  }

  /** Tries again now instead of waiting any longer: the network is back, the page is looked at. */
  wake() {
    this.#wake?.();
  }

  /** A fresh token keeps an open connection going beyond the end of its first one. */
  showToken(token) {
    for (const link of [this.#current, this.#opening]) link?.publish({ destination: '/app/token', body: token });
  }

  /**
   * Hears a destination from now on, over all connections, each message of a log once.
   * `handle(message)`: a message of stompjs. `resumeAfter`: a message id, everything after it; `history`: the last so
   * many; without both from now on. `headers`: more of SUBSCRIBE. `began({ head, recovered, resumed })`: on every
   * connection when it has begun; `recovered` false: what was missed is gone, load it anew. `refused(error)`: this
   * member may not hear it, or it is one too many; it is forgotten (for the former the server closes the connection, so
   * the others begin again).
   */
  subscribe(destination, handle, options = {}) {
    const subscription = this.#subscribe(destination, handle, options);
    return { unsubscribe: () => this.#unsubscribe(subscription) };
  }

  /**
   * Sends a message; the promise is kept once the server has stored it, and fails with a ChatError. Sent over lost
   * connections again under the same name (`id`, made up if it is not given), which the server stores once.
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

  /** Sends what may be lost, such as "is typing": only if there is a connection, and once. */
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

  /** Sees to it that there is a link. There is one loop at a time, whatever happens meanwhile. */
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

  /** A link with every subscription begun; fails if that does not come about. */
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
      // One that has not begun on the link of now has no position yet: two beginnings could differ.
      if (!this.#current || this.#current.hasBegun(subscription)) this.#attach(link, subscription);
    }
    this.#checkReady(link);
  }

  /** From now on this link is used; the last one is left. */
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
      // Others have lost theirs in the same moment; only a token runs out for one alone.
      if (code !== TOKEN_EXPIRED) this.#attempts ||= 1;
      this.#setState('waiting');
      this.#catchUp();
    }
    this.#flush();
    this.#connect();
  }

  /** What the link of now had not begun, the one that is being opened begins. */
  #catchUp() {
    const link = this.#opening;
    if (!link?.isConnected) return;
    for (const subscription of this.#subscriptions) if (!link.has(subscription)) this.#attach(link, subscription);
    this.#checkReady(link);
  }

  /** Without tokens there is nothing else to show. */
  #countRefusal() {
    this.#refusals += 1;
    const { token, refusalsMax } = this.#settings;
    if (!token || this.#refusals > refusalsMax) this.#end('unauthorized');
  }

  /** It is over, for this reason. */
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

  /** It has a position now, so the link that is being opened can begin it, too. */
  #catchUpWith(subscription) {
    const link = this.#opening;
    if (link?.isConnected && !link.has(subscription)) this.#attach(link, subscription);
  }

  #checkReady(link) {
    if (link === this.#opening && [...this.#subscriptions].every((one) => link.hasBegun(one))) link.setReady();
  }

  /** The server is about to stop, or wants its clients to be spread evenly: move after the time it says. */
  #onSystem(news, link) {
    if (news.type !== 'drain') return;
    link.leaveAfter(news.reconnectAfterMs ?? 0, () => {
      if (link !== this.#current) return;
      this.#attempts = 0;
      this.#connect();
    });
  }

  // ---- sends ---------------------------------------------------------------------------------

  /** Sends what was not sent on the link of now, in its order: not before a link that is being left has settled. */
  #flush() {
    const link = this.#current;
    if (!link) return;
    const all = [...this.#pending.values()];
    if (all.some((pending) => pending.link && pending.link !== link)) return;
    // What waits to be sent again goes before what was sent after it to the same place.
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
      // One subscription too many: the link goes on without it.
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

/** What is heard on a destination, over all links. */
class Subscription {
  /** The newest id seen of a log. */
  #newest = null;
  /** Where the log stood before anything was seen. */
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
    // A log that went back in time (a restored backup) gives its ids anew.
    if (recovered === 'false' && this.#newest > at) this.#newest = this.#start = at;
    else if (!resumed && !this.history && at > 0) this.#start ??= at;
    this.began({ head: at, recovered: recovered !== 'false', resumed });
  }

  /**
   * Whether a message is new. Each link brings a log in order and, from its beginning, without holes; so what is not
   * beyond the newest seen came by another link. What is of no log comes by every link, and counts on the used one.
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

/** One WebSocket, from its opening to its end. */
class Link {
  isConnected = false;
  isClosed = false;
  isRefused = false;
  isToLeave = false;
  usedSince = Infinity;
  #client;
  #heard = new Map();
  #begun = new Set();
  /** Subscriptions that have no answer yet, by the receipt that they ask for. */
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

  /** The subscription that asked for this receipt and has no answer yet; that it has now. */
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

  /** It is to be left after a while; `due` is told then. Once. */
  leaveAfter(ms, due) {
    if (this.isToLeave || this.leaving) return;
    this.leaving = true;
    this.#later(ms, () => {
      this.isToLeave = true;
      due();
    });
  }

  /** Says goodbye: the server confirms what was sent before. Not for ever. */
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
