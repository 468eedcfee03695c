// Outbox of this tab: messages that were sent and not yet received in the room, kept over lost
// connections and reloads. Each has a client-message-id, under which the server stores it once, so
// a retry never duplicates.

import { has, t } from './i18n.js';

/** Without a receipt for this long on an open connection the send counts as failed, and the writer decides. */
const RECEIPT_MAX_MS = 20_000;

/** How long a stored message may be missing from the timeline: after that it is older than the shown part. */
const ECHO_MAX_MS = 5_000;

/** States of a message: `sending`, `stored` (the server has it), `failed` (see `problem`). */
export class Outbox {
  /** `refused(roomId, code)`: the server does not take what this item says. */
  constructor(memberId, { transmit, changed, refused }) {
    this.key = `dapanda.outbox.${memberId}`;
    this.transmit = transmit;
    this.changed = changed;
    this.refused = refused;
    this.items = this.restore();
  }

  of(roomId) {
    return this.items.filter((item) => item.roomId === roomId);
  }

  add(roomId, text, at) {
    const item = { id: randomId(), roomId, text, at, state: 'sending' };
    this.items.push(item);
    this.send(item);
  }

  /** The connection is open: retries all unconfirmed sends. */
  sendAll() {
    for (const item of this.items) if (item.state === 'sending') this.send(item);
  }

  /** The writer retries a failed send. */
  retry(id) {
    const item = this.find(id);
    if (!item) return;
    item.state = 'sending';
    this.send(item);
  }

  /** The message was received in the room, or the writer discards it. */
  remove(id) {
    if (!this.find(id)) return;
    this.items = this.items.filter((item) => item.id !== id);
    this.save();
  }

  /** Sends; the connection retries by itself after a loss or a retryable error. */
  send(item) {
    this.save();
    const stored = this.transmit(item);
    clearTimeout(item.timer);
    if (!stored) return;
    const late = () => item.state === 'sending' && this.fail(item, t('noAnswer'));
    item.timer = setTimeout(late, RECEIPT_MAX_MS);
    stored.then(
      () => this.onReceipt(item),
      ({ code, message }) => this.onError(item, code, message),
    );
  }

  onError(item, code, message) {
    // The page is being left, and knows it again when it comes back.
    if (item.state !== 'sending' || code === 'stopped') return;
    this.refused(item.roomId, Number(code));
    this.fail(item, has(`error${code}`) ? t(`error${code}`) : message);
  }

  onReceipt(item) {
    item.state = 'stored';
    setTimeout(() => this.remove(item.id), ECHO_MAX_MS);
    this.save();
  }

  fail(item, problem) {
    item.state = 'failed';
    item.problem = problem;
    this.save();
  }

  find(id) {
    return this.items.find((item) => item.id === id);
  }

  save() {
    const plain = this.items.map(({ timer, ...item }) => item);
    sessionStorage.setItem(this.key, JSON.stringify(plain));
    this.changed();
  }

  restore() {
    try {
      const items = JSON.parse(sessionStorage.getItem(this.key)) ?? [];
      // After a reload it is unknown whether a stored one was received; sending it again settles that.
      return items.map((item) => (item.state === 'stored' ? { ...item, state: 'sending' } : item));
    } catch {
      return [];
    }
  }
}

/** 128 random bits. `crypto.randomUUID` would need HTTPS on other hosts than localhost. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
