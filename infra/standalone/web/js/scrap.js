// State of the scrap finder: the amount, and the cheapest combinations of offers of exactly that amount. A quote is
// valid for a minute and is fetched again when it ends.

import { ageMs } from './time.js';

/** Requests while the amount is being moved are left out. */
const SETTLE_MS = 200;

/** A quote is fetched again at most so often. */
const RENEW_MS_MIN = 5_000;

export const AMOUNT_FIRST = 1;

export class Scrap extends EventTarget {
  constructor(api, wallet) {
    super();
    this.api = api;
    this.wallet = wallet;
    this.amount = null;
    this.quote = null;
    this.problem = null;
    /** What came of the last purchase: `{bought}` or `{problem}`. */
    this.outcome = null;
    this.chosen = 0;
    this.timer = null;
    /** The amount is more than may still be bought this month: nothing is looked up. */
    this.isOver = false;
    wallet.addEventListener('change', () => this.amount != null && this.isShown && this.exceeds() !== this.isOver && this.load());
  }

  exceeds() {
    return this.wallet.left != null && this.amount > this.wallet.left;
  }

  /** Shows the combinations of this amount; a new one is looked up after a moment. */
  show(amount) {
    this.isShown = true;
    if (amount === this.amount && (this.quote || this.loading)) return;
    this.amount = amount;
    this.outcome = null;
    this.forget();
    this.after(SETTLE_MS, () => this.load());
  }

  /** The finder is no longer shown: nothing is fetched. */
  hide() {
    clearTimeout(this.timer);
    this.isShown = false;
    this.quote = null;
    this.loading = false;
  }

  forget() {
    this.quote = null;
    this.problem = null;
    this.loading = true;
    this.changed();
  }

  after(ms, run) {
    clearTimeout(this.timer);
    this.timer = setTimeout(run, ms);
  }

  async load() {
    const { amount } = this;
    this.isOver = this.exceeds();
    if (this.isOver) {
      [this.quote, this.problem, this.loading] = [null, null, false];
      this.changed();
      return;
    }
    this.loading = true;
    try {
      const quote = await this.api.scrap(amount);
      if (amount === this.amount) this.take(quote);
    } catch (error) {
      if (amount !== this.amount) return;
      this.loading = false;
      this.problem = error;
      this.changed();
    }
  }

  /** A quote of the server, fetched or sent with a refusal. */
  take(quote) {
    const chosen = this.combinations[this.chosen]?.quoteId;
    this.quote = quote;
    this.problem = null;
    this.loading = false;
    this.chosen = Math.max(0, this.combinations.findIndex((one) => one.quoteId === chosen));
    this.changed();
    const left = quote.expiresAt ? -ageMs(quote.expiresAt) : 0;
    if (this.combinations.length > 0) this.after(Math.max(left, RENEW_MS_MIN), () => this.load());
  }

  /** Up to five combinations, the cheapest first, in the shape in which they are bought. */
  get combinations() {
    return this.quote?.candidates ?? [];
  }

  choose(index) {
    this.chosen = index;
    this.outcome = null;
    this.changed();
  }

  changed() {
    this.dispatchEvent(new CustomEvent('change'));
  }
}
