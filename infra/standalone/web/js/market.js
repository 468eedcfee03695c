// Market state of this tab: the list, how far it is loaded, and the open offer. Views read from here and are
// notified by `change` events.

/** Longest list: a browser handles this many rows; filters narrow a longer one. */
const ROWS_MAX = 1_000;

/** More offers of the same seller, below an offer. */
const OTHERS = 6;

/** Positions to choose from, so that a real position is not required. Names are texts of the page. */
export const PLACES = [
  { name: 'placeCityHall', latitude: 37.5657, longitude: 126.9769 },
  { name: 'placeGangnam', latitude: 37.498, longitude: 127.0276 },
  { name: 'placeHongdae', latitude: 37.5568, longitude: 126.9237 },
  { name: 'placeSeongsu', latitude: 37.5446, longitude: 127.0561 },
  { name: 'placeYeouido', latitude: 37.5216, longitude: 126.9242 },
  { name: 'placeJamsil', latitude: 37.5133, longitude: 127.1001 },
  { name: 'placeNowon', latitude: 37.6561, longitude: 127.0632 },
];

const SPOT_SORTS = { DISTANCE_ASC: 'sortDistance', PRICE_ASC: 'sortPrice', AVERAGE_RATE_DESC: 'sortRating' };

/** The kinds of offers: name in addresses; name in the API, sort options with their texts. */
export const KINDS = {
  data: {
    path: 'mobile-data',
    type: 'MOBILE_DATA',
    sorts: { RECENT: 'sortRecent', PRICE_ASC: 'sortUnitPrice', AMOUNT_ASC: 'sortLeast', AMOUNT_DESC: 'sortMost' },
  },
  wifi: { path: 'wifi', type: 'WIFI', sorts: SPOT_SORTS },
  hotspot: { path: 'hotspot', type: 'HOTSPOT', sorts: SPOT_SORTS },
};

/** The kind by its name in the API. */
export function kindOf(type) {
  return Object.keys(KINDS).find((kind) => KINDS[kind].type === type) ?? null;
}

/** Tenths of a gigabyte that an offer can have. */
export const UNITS_MAX = 20;

export class Market extends EventTarget {
  constructor(api) {
    super();
    this.api = api;
    this.kind = 'data';
    /** As in the address: only what differs from the default. */
    this.choice = {};
    this.rows = new Map();
    this.next = null;
    /** `null` before the first response, then whether the list is complete. */
    this.complete = null;
    this.problem = null;
    this.offer = null;
  }

  get isFull() {
    return this.rows.size >= ROWS_MAX;
  }

  get place() {
    return PLACES[this.choice.place] ?? PLACES[0];
  }

  get sort() {
    const { sorts } = KINDS[this.kind];
    return Object.hasOwn(sorts, this.choice.sort ?? '') ? this.choice.sort : Object.keys(sorts)[0];
  }

  /** Shows this list, from its beginning if it was another one. */
  show(kind, choice) {
    const isSame = this.kind === kind && JSON.stringify(this.choice) === JSON.stringify(choice);
    if (isSame && this.complete !== null) return;
    this.kind = kind;
    this.choice = choice;
    this.restart();
  }

  restart() {
    this.rows = new Map();
    this.next = null;
    this.complete = null;
    this.problem = null;
    this.loading = null;
    this.changed('restart');
    return this.more();
  }

  /** Fetches the next page, unless a request is in flight. */
  more() {
    if (this.complete === true || this.isFull) return Promise.resolve();
    this.loading ??= this.load(this.rows);
    return this.loading;
  }

  async load(rows) {
    try {
      const page = await this.api.offers(KINDS[this.kind].path, this.query(), this.next);
      if (rows !== this.rows) return; // Another list has been chosen meanwhile.
      // A row that changed its place between two pages is shown once, as it is now.
      for (const row of page.rows) rows.set(row.productId, row);
      this.next = page.next;
      this.complete = page.next == null;
      this.problem = null;
    } catch (error) {
      if (rows !== this.rows) return;
      this.problem = error;
    }
    this.loading = null;
    this.changed('list');
  }

  query() {
    const { amount, open } = this.choice;
    const query = { productSortOption: this.sort };
    if (this.kind === 'data') return amount ? { ...query, dataAmount: amount } : query;
    const { latitude, longitude } = this.place;
    return { ...query, latitude, longitude, ...(open && { open: true }) };
  }

  /** Opens an offer; `null`: none. */
  async open(kind, productId) {
    const isOpen = this.offer?.kind === kind && this.offer?.productId === productId && !this.offer.problem;
    if (isOpen || (productId == null && this.offer == null)) return;
    // `order`: the purchase being prepared. `outcome`: the result of the last purchase.
    const offer =
      productId == null ? null : { kind, productId, detail: null, seller: null, others: null, problem: null, order: {}, outcome: null };
    this.offer = offer;
    this.changed('offer');
    if (offer) await this.loadOffer(offer);
  }

  async loadOffer(offer) {
    const { kind, productId } = offer;
    const show = () => offer === this.offer && this.changed('offer');
    try {
      offer.detail = await this.api.offer(KINDS[kind].path, productId);
    } catch (error) {
      offer.problem = error;
      show();
      return;
    }
    show();
    const { memberId } = offer.detail;
    // Details around the offer are optional.
    const [seller, others] = await Promise.allSettled([
      this.api.member(memberId),
      this.api.selling(memberId, 'ACTIVE', OTHERS + 1),
    ]);
    offer.seller = seller.value ?? null;
    offer.others = (others.value?.rows ?? []).filter((row) => row.productId !== productId).slice(0, OTHERS);
    show();
  }

  /** Something was bought, here or by others: reads the open offer again, and updates its row. */
  async reread() {
    const { offer } = this;
    if (!offer?.detail) return;
    try {
      offer.detail = await this.api.offer(KINDS[offer.kind].path, offer.productId);
    } catch (error) {
      // Without an answer the last one stays.
      if (error.code == null) return;
      [offer.detail, offer.problem] = [null, error];
    }
    if (offer !== this.offer) return;
    this.changed('offer');
    const row = this.rows.get(offer.productId);
    if (this.kind !== offer.kind || !row) return;
    const { price, remainAmount, pricePer100MB, productState } = offer.detail ?? { productState: 'SOLD_OUT' };
    if (productState === 'SOLD_OUT') this.rows.delete(offer.productId);
    else this.rows.set(offer.productId, { ...row, price, remainAmount, pricePer100MB });
    this.changed('rows');
  }

  /** Others' offers came into sight, or left it: list and offer are read again, at once where they are shown. */
  reshow() {
    if (this.complete === null) return;
    const { offer } = this;
    if (offer?.detail) {
      this.reread();
    } else if (offer) {
      offer.problem = null;
      this.loadOffer(offer);
    }
    this.restart();
  }

  /** Own offers have changed: invalidates what is shown of them. */
  forget() {
    this.complete = null;
    this.offer = null;
    this.choice = { ...this.choice };
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }
}
