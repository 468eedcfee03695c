// State of payouts: a request that is sent once, and the member's payouts. Views are notified by `change` events.
//
// A request keeps its id until it is answered, over a reload of the tab, too, so that a retry after a lost answer does
// not pay out twice.

import { uuid } from './charges.js';
import { isUncertain } from './purchase.js';
import { History } from './trades.js';

const PAGE = 20;
const KEY = 'dapanda.refund';

export class Refunds extends EventTarget {
  /** `refunded()`: cash has left the balance, or may have. */
  constructor(api, memberId, { refunded }) {
    super();
    this.api = api;
    this.memberId = memberId;
    this.onRefunded = refunded;
    this.list = new History((cursor) => api.refunds(PAGE, cursor), () => this.changed('list'));
    /** The newest answer: `{refundPrice, remainCash}`. */
    this.answer = null;
  }

  open() {
    if (this.list.first) this.list.renew();
    else this.list.reload();
  }

  /** The request without an answer: `{memberId, requestId, amount}`, or `null`. */
  get pending() {
    const kept = read();
    return kept?.memberId === this.memberId ? kept : null;
  }

  async send(amount) {
    const { pending, memberId } = this;
    const request = pending?.amount === amount ? pending : { memberId, requestId: uuid(), amount };
    keep(request);
    this.answer = null;
    try {
      this.answer = await this.api.refund(request.requestId, amount);
      keep(null);
    } catch (error) {
      if (!isUncertain(error)) keep(null);
      throw error;
    } finally {
      this.onRefunded();
      this.changed('answer');
      this.open();
    }
  }

  renew() {
    this.list.renew();
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }
}

/** What the member sees of a payout. */
export function stateOf({ state, amount, returned, verifying }) {
  if (state !== 'DONE') return verifying > 0 ? 'VERIFYING' : 'OPEN';
  if (!returned) return 'DONE';
  return returned < amount ? 'PARTLY' : 'RETURNED';
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function keep(request) {
  if (request) sessionStorage.setItem(KEY, JSON.stringify(request));
  else sessionStorage.removeItem(KEY);
}
