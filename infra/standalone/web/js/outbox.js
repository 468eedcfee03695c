// What this tab has sent and not yet seen in the room: kept until it is, over lost connections and
// reloads. Every message has a name of its own (client-message-id), and the server stores a name
// once, so sending again never doubles.

import { has, t } from './i18n.js';

/** No receipt for so long on an open connection: something is wrong, the writer decides. */
const RECEIPT_MAX_MS = 20_000;

/** A receipt without the message itself: it came long ago, before what is shown. */
const ECHO_MAX_MS = 5_000;

/** States of a message: `sending`, `stored` (the server has it), `failed` (see `problem`). */
export class Outbox {
  constructor(memberId, { transmit, changed }) {
    this.key = `dapanda.outbox.${memberId}`;
    this.transmit = transmit;
    this.changed = changed;
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

  /** The connection is open (again): all that nobody has confirmed goes once more. */
  sendAll() {
    for (const item of this.items) if (item.state === 'sending') this.send(item);
  }

  /** The writer wants a failed one to be sent again. */
  retry(id) {
    const item = this.find(id);
    if (!item) return;
    item.state = 'sending';
    this.send(item);
  }

  /** It has been seen in the room, or the writer gives it up. */
  remove(id) {
    if (!this.find(id)) return;
    this.items = this.items.filter((item) => item.id !== id);
    this.save();
  }

  /** The connection sends it again by itself if it is lost meanwhile, or if the server cannot now. */
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
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
