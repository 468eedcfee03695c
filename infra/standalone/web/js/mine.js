// State of the member's own offers: those loaded in this tab, and the remaining limits of this month.

import { KINDS } from './market.js';

const PAGE = 20;

/** Gigabytes that may be registered in a month. */
export const MONTH_MAX = 2;

/** States of offers, in the order of the tabs, with their texts. */
export const STATES = { ACTIVE: 'stateActive', SOLD_OUT: 'stateSoldOut', HIDDEN: 'stateHidden', DELETED: 'stateDeleted' };

export class Mine extends EventTarget {
  constructor(api) {
    super();
    this.api = api;
    this.state = 'ACTIVE';
    this.limits = null;
    /** Won by product; empty until they are read. */
    this.prices = new Map();
    /** The offer of the form: `{kind, id, detail, problem}`; a new one has neither id nor detail. */
    this.form = null;
    this.clear();
  }

  clear() {
    this.rows = [];
    this.count = null;
    this.next = null;
    this.problem = null;
    this.loading = null;
  }

  show(state) {
    const wanted = Object.hasOwn(STATES, state ?? '') ? state : 'ACTIVE';
    if (!this.limits) this.loadLimits();
    if (this.prices.size === 0) this.loadPrices();
    if (this.state === wanted && this.count !== null) return;
    this.state = wanted;
    this.reload();
  }

  reload() {
    this.clear();
    this.changed('list');
    return this.more();
  }

  /** An own offer was changed: invalidates list and limits. */
  refresh() {
    this.loadLimits();
    this.loadPrices();
    return this.reload();
  }

  more() {
    this.loading ??= this.load(this.rows);
    return this.loading;
  }

  async load(rows) {
    try {
      const page = await this.api.selling(null, this.state, PAGE, this.next);
      if (rows !== this.rows) return;
      rows.push(...page.rows);
      this.count = page.count;
      this.next = page.next;
      this.problem = null;
    } catch (error) {
      if (rows !== this.rows) return;
      this.problem = error;
    }
    this.loading = null;
    this.changed('list');
  }

  /** The list goes without them where they cannot be read. */
  async loadPrices() {
    const exported = await this.api.export().catch(() => null);
    if (!exported) return;
    this.prices = new Map(exported.offers.map(({ productId, price }) => [productId, price]));
    this.changed('list');
  }

  /** `plan` is `null` for a member without one. */
  async loadLimits() {
    const [registered, sold, plan] = await Promise.allSettled([
      this.api.monthly('selling-data'),
      this.api.monthly('selling-data/sold'),
      this.api.plan(),
    ]);
    if (registered.status === 'rejected') return;
    this.limits = {
      registered: registered.value,
      sold: sold.value ?? 0,
      monthLeft: round(MONTH_MAX - registered.value),
      plan: plan.value ?? null,
    };
    this.changed('limits');
  }

  /** Opens the form for a new offer (`id` is `null`) or one of the member's; `null`: none. */
  async open(form) {
    if (this.form?.kind === form?.kind && this.form?.id === form?.id) return;
    this.form = form ? { ...form, detail: null, problem: null } : null;
    this.changed('form');
    const opened = this.form;
    if (!opened?.id) return;
    try {
      opened.detail = await this.api.offer(KINDS[opened.kind].path, opened.id);
    } catch (error) {
      opened.problem = error;
    }
    if (opened === this.form) this.changed('form');
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }
}

/** Tenths of a gigabyte, exactly. */
export function round(gigabytes) {
  return Math.max(0, Math.round(gigabytes * 10) / 10);
}
