// State of charges: the way to the payment page, the outcome of a payment, and the member's charges. Views are notified
// by `change` events.
//
// The server confirms a payment once, however often it is requested, and repeats its answer. So a page that comes back
// from the payment page may be loaded again, in two tabs, or by the back button: it always asks again, and every time
// shows the same outcome.

import { ApiError } from './api.js';
import { randomId } from './outbox.js';
import { History } from './trades.js';

const PAGE = 20;

/** Among so many of the newest charges one is searched for. */
const SEARCHED = 100;

export const CHARGE_MAX = 10_000_000;

const INVALID = 1006;
const NO_GATEWAY = 1010;
const DECLINED = 5001;
const OTHER_AMOUNT = 5003;
const VERIFYING = 5008;

/** Pauses between two questions about a payment without an outcome; then the member asks again. */
const PAUSES_MS = [1_000, 1_000, 2_000, 4_000, 8_000, 15_000, ...Array(18).fill(30_000)];

/** What a stored state means for the member. */
const OUTCOMES = {
  CAPTURED: 'CAPTURED', FAILED: 'DECLINED', EXPIRED: 'DECLINED', MISMATCH: 'GIVENBACK', WAITING: 'WAITING', CONFIRMING: 'VERIFYING', UNKNOWN: 'VERIFYING',
};

/** Nothing changes these. */
const FINAL = new Set(['CAPTURED', 'DECLINED', 'AMOUNT', 'GIVENBACK', 'INVALID', 'MISSING']);

export class Charges extends EventTarget {
  /** `charged()`: cash has come. */
  constructor(api, { charged }) {
    super();
    this.api = api;
    this.onCharged = charged;
    this.list = new History((cursor) => api.charges(PAGE, cursor), () => this.changed('list'));
    /** `{available, payPage}`, or `{problem}`; `null` until it is read. */
    this.checkout = null;
    /** Of the payment that the address names: `{paymentKey, orderId, amount, state, charge}`. */
    this.outcome = null;
    this.wake = () => {};
  }

  /** Reads what the pane shows. */
  open() {
    if (this.list.first) this.list.renew();
    else this.list.reload();
    if (!this.checkout || this.checkout.problem) this.loadCheckout();
  }

  async loadCheckout() {
    this.checkout = await this.api.checkout().catch((problem) => ({ problem }));
    this.changed('checkout');
  }

  /** Saves an order, and returns the address where it is paid. */
  async begin(amount, name) {
    const orderId = `order-${uuid()}`;
    await this.api.saveAmount(orderId, amount);
    const url = new URL(this.checkout.payPage, location.href);
    const back = (how) => `${location.origin}/?charge=${how}`;
    const order = { orderId, orderName: name, amount, successUrl: back('done'), failUrl: back('failed') };
    for (const [key, value] of Object.entries(order)) url.searchParams.set(key, value);
    return url.href;
  }

  /** The browser has come back from the payment page: confirms, and follows the payment until it is certain. */
  finish(paid) {
    const isSame = ['paymentKey', 'orderId', 'amount'].every((key) => this.outcome?.[key] === paid[key]);
    if (isSame && (this.outcome.isFollowed || FINAL.has(this.outcome.state))) return;
    const outcome = { ...paid, state: 'CHECKING', charge: null, isFollowed: true };
    this.outcome = outcome;
    this.changed('outcome');
    this.follow(outcome).finally(() => (outcome.isFollowed = false));
  }

  /** Another try after the last one; also for a transfer that was made meanwhile. */
  again() {
    const { paymentKey, orderId, amount, isFollowed } = this.outcome;
    if (isFollowed) this.wake();
    else this.finish({ paymentKey, orderId, amount });
  }

  async follow(outcome) {
    let isSent = false;
    for (const pause of PAUSES_MS) {
      const found = isSent ? await this.lookUp(outcome) : await this.confirm(outcome);
      if (outcome !== this.outcome) return;
      isSent = found.isSent ?? isSent;
      this.settle(outcome, found);
      if (FINAL.has(outcome.state)) return;
      await this.pause(pause);
      if (outcome !== this.outcome) return;
    }
    // A transfer may take days: that is no delay.
    if (outcome.state !== 'WAITING') this.settle(outcome, { state: 'STOPPED' });
  }

  settle(outcome, { state, charge }) {
    const isNew = outcome.state !== state || (charge && !outcome.charge);
    outcome.state = state;
    outcome.charge = charge ?? outcome.charge;
    if (!isNew) return;
    this.changed('outcome');
    this.list.renew();
    if (state === 'CAPTURED') this.onCharged();
  }

  /** Verifies and confirms; the server does neither twice. */
  async confirm({ paymentKey, orderId, amount }) {
    const won = Number(amount);
    if (!paymentKey || !orderId || !Number.isSafeInteger(won) || won < 1) return { state: 'INVALID' };
    try {
      await this.api.verifyAmount(orderId, won);
      await this.api.charge(paymentKey, orderId, won);
      const charge = await this.find(orderId).catch(() => null);
      return { state: 'CAPTURED', charge };
    } catch (error) {
      return this.refused(error, orderId);
    }
  }

  async refused(error, orderId) {
    const code = error instanceof ApiError ? error.code : null;
    if (code === INVALID) return { state: 'INVALID' };
    if (code === OTHER_AMOUNT) return { state: 'AMOUNT' };
    if (code === VERIFYING) return { ...(await this.lookUp({ orderId })), isSent: true };
    if (code === DECLINED) {
      const charge = await this.find(orderId).catch(() => null);
      return { state: charge?.state === 'MISMATCH' ? 'GIVENBACK' : 'DECLINED', charge };
    }
    if (code === NO_GATEWAY && !(await this.hasGateway())) return { state: 'MISSING' };
    // No answer, or a server that is busy: the same request again is safe.
    return { state: 'VERIFYING' };
  }

  async hasGateway() {
    const checkout = await this.api.checkout().catch(() => null);
    return checkout?.available ?? true;
  }

  /** The state of a payment that the server follows by itself. */
  async lookUp({ orderId }) {
    const charge = await this.find(orderId).catch(() => null);
    // Nothing was confirmed yet: the request got lost.
    if (charge?.state === 'CREATED') return { state: 'VERIFYING', isSent: false };
    return { state: OUTCOMES[charge?.state] ?? 'VERIFYING', charge };
  }

  async find(orderId) {
    const { rows } = await this.api.charges(SEARCHED);
    return rows.find((row) => row.orderId === orderId) ?? null;
  }

  /** Something was charged, perhaps this. */
  renew() {
    this.list.renew();
    this.wake();
  }

  /** Until the time is over, or there is a reason to ask earlier. */
  pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }
}

/** A random UUID, version 4; `crypto.randomUUID` exists on HTTPS only. */
export function uuid() {
  const hex = randomId();
  const variant = ((parseInt(hex[16], 16) & 3) | 8).toString(16);
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, variant + hex.slice(17, 20), hex.slice(20)].join('-');
}
