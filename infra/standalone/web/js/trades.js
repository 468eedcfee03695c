// State of the member's histories: purchases, and what moved cash in a month. Views are notified by `change` events.

import { nowOnWire } from './time.js';

const PAGE = 20;

/** Older trades than on this many pages are not searched for. */
const MARK_PAGES_MAX = 5;

const MONTH = /^\d{4}-(0[1-9]|1[0-2])$/;

/** The present month in Seoul: `2025-08`. */
export function thisMonth() {
  return nowOnWire().slice(0, 7);
}

export class Trades extends EventTarget {
  constructor(api) {
    super();
    this.purchases = new History((cursor) => api.purchases(PAGE, cursor), () => this.changed('purchases'));
    this.month = thisMonth();
    this.cash = new History((cursor) => api.cashHistory(this.period, PAGE, cursor), () => this.changed('cash'));
    /** The trade that the address names: its id, and an offer of it to ask about. */
    this.marked = { tradeId: null, productId: null };
  }

  /** Marks a trade in both histories, and loads until it is there. */
  async mark(trade, product) {
    const marked = { tradeId: Number(trade) || null, productId: Number(product) || null };
    const isSame = marked.tradeId === this.marked.tradeId && marked.productId === this.marked.productId;
    if (isSame) return;
    this.marked = marked;
    this.changed('purchases');
    this.changed('cash');
    for (const history of [this.purchases, this.cash]) {
      for (let pages = 0; pages < MARK_PAGES_MAX && marked === this.marked && marked.tradeId; pages += 1) {
        if (history.has(marked.tradeId) || (history.first && history.next == null) || history.problem) break;
        await history.more();
      }
    }
  }

  /** Something was traded, here or by others: what is shown is read again without a gap. */
  renew() {
    this.purchases.renew();
    this.cash.renew();
  }

  get period() {
    const [year, month] = this.month.split('-').map(Number);
    return { year, month };
  }

  /** Shows this month; by default, and instead of one that is not over or no month, the present one. */
  show(month) {
    const wanted = MONTH.test(month ?? '') && month < thisMonth() ? month : thisMonth();
    if (wanted !== this.month) {
      this.month = wanted;
      this.cash.reload();
    } else if (!this.cash.first) {
      this.cash.reload();
    }
    if (!this.purchases.first) this.purchases.reload();
  }

  /** Something was traded: what was loaded is read again when it is shown. */
  forget() {
    this.purchases.clear();
    this.cash.clear();
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }
}

/** A list that is loaded page by page. */
export class History {
  constructor(load, changed) {
    this.load = load;
    this.changed = changed;
    this.clear();
  }

  clear() {
    this.rows = [];
    /** The first page: it also has the count, or the month's totals. */
    this.first = null;
    this.next = null;
    this.problem = null;
    this.loading = null;
  }

  reload() {
    this.clear();
    this.changed();
    return this.more();
  }

  has(tradeId) {
    return this.rows.some((row) => row.tradeId === tradeId);
  }

  /** Reads the first page again, and shows it if there is something new. */
  async renew() {
    const { rows } = this;
    if (!this.first) return;
    const page = await this.load(null).catch(() => null);
    if (!page || rows !== this.rows || JSON.stringify(page.rows) === JSON.stringify(rows.slice(0, page.rows.length))) return;
    this.clear();
    [this.rows, this.first, this.next] = [page.rows, page, page.next];
    this.changed();
  }

  more() {
    this.loading ??= this.fetch(this.rows);
    return this.loading;
  }

  async fetch(rows) {
    try {
      const page = await this.load(this.next);
      if (rows !== this.rows) return;
      rows.push(...page.rows);
      this.first ??= page;
      this.next = page.next;
      this.problem = null;
    } catch (error) {
      if (rows !== this.rows) return;
      this.problem = error;
    }
    this.loading = null;
    this.changed();
  }
}
