// What the signed-in member can spend: cash, and the data that may still be bought this month. Views are notified by
// `change` events.

import { MONTH_MAX, round } from './mine.js';

export class Wallet extends EventTarget {
  constructor(api) {
    super();
    this.api = api;
    /** Won; `null` until it is read. */
    this.cash = null;
    /** Gigabytes bought this month; `null` until they are read. */
    this.bought = null;
  }

  /** Gigabytes that may still be bought this month. */
  get left() {
    return this.bought == null ? null : round(MONTH_MAX - this.bought);
  }

  /** Reads both again; what cannot be read stays as it was. */
  async refresh() {
    const [cash, bought] = await Promise.allSettled([this.api.cash(), this.api.monthly('buying-data')]);
    this.cash = cash.value ?? this.cash;
    this.bought = bought.value ?? this.bought;
    this.dispatchEvent(new CustomEvent('change'));
  }
}
