// The market of this tab: which list is shown, how far it is read, and which offer is open. Views read from here and are
// told by `change` events.

/** A browser keeps so many rows without trouble; whoever wants others narrows the list. */
const ROWS_MAX = 1_000;

/** Where one may stand: nobody is asked for their real position. */
export const PLACES = [
  ['시청', 37.5657, 126.9769],
  ['강남역', 37.498, 127.0276],
  ['홍대입구역', 37.5568, 126.9237],
  ['성수역', 37.5446, 127.0561],
  ['여의도역', 37.5216, 126.9242],
  ['잠실역', 37.5133, 127.1001],
  ['노원역', 37.6561, 127.0632],
];

/** The kinds of offers: name in addresses, name in the API, orders. */
export const KINDS = {
  data: {
    path: 'mobile-data',
    sorts: { RECENT: '최신순', PRICE_ASC: '100MB당 낮은 가격순', AMOUNT_ASC: '적은 용량순', AMOUNT_DESC: '많은 용량순' },
  },
  wifi: {
    path: 'wifi',
    sorts: { DISTANCE_ASC: '가까운 순', PRICE_ASC: '낮은 가격순', AVERAGE_RATE_DESC: '별점 높은 순' },
  },
};

export class Market extends EventTarget {
  constructor(api) {
    super();
    this.api = api;
    this.kind = 'data';
    /** What was chosen, by kind. */
    this.choices = {
      data: { sort: 'RECENT', amount: '' },
      wifi: { sort: 'DISTANCE_ASC', open: false, place: 0 },
    };
    this.rows = new Map();
    this.next = null;
    /** `null` before the first answer, then whether the list is read to its end. */
    this.complete = null;
    this.problem = null;
    this.offer = null;
  }

  get choice() {
    return this.choices[this.kind];
  }

  get isFull() {
    return this.rows.size >= ROWS_MAX;
  }

  /** Shows this list, from its beginning if it was another one. */
  show(kind) {
    if (this.kind === kind && this.complete !== null) return;
    this.kind = kind;
    this.restart();
  }

  choose(choice) {
    Object.assign(this.choice, choice);
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

  /** The next page, unless one is on its way. */
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
    const { sort, amount, open, place } = this.choice;
    const query = { productSortOption: sort };
    if (this.kind === 'data') return amount ? { ...query, dataAmount: amount } : query;
    const [, latitude, longitude] = PLACES[place];
    return { ...query, latitude, longitude, ...(open && { open }) };
  }

  /** Opens an offer; `null`: none. What the list knows of it is shown until the answer comes. */
  async open(kind, productId) {
    const isOpen = this.offer?.kind === kind && this.offer?.productId === productId && !this.offer.problem;
    if (isOpen || (productId == null && this.offer == null)) return;
    const offer = productId == null ? null : { kind, productId, detail: null, seller: null, problem: null };
    this.offer = offer;
    this.changed('offer');
    if (!offer) return;
    try {
      offer.detail = await this.api.offer(KINDS[kind].path, productId);
      offer.seller = await this.api.member(offer.detail.memberId);
    } catch (error) {
      offer.problem = error;
    }
    if (offer === this.offer) this.changed('offer');
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }
}

const EARTH_KM = 6_370.986;

/** Kilometres along the sphere between a place of ours and an offer. */
export function distanceKm([, latitude, longitude], offer) {
  const rad = (degrees) => (degrees * Math.PI) / 180;
  const half = (degrees) => Math.sin(rad(degrees) / 2) ** 2;
  const cosines = Math.cos(rad(latitude)) * Math.cos(rad(offer.latitude));
  const part = half(offer.latitude - latitude) + cosines * half(offer.longitude - longitude);
  return 2 * EARTH_KM * Math.asin(Math.min(1, Math.sqrt(part)));
}

/** 1,200원 */
export function wonText(won) {
  return `${won.toLocaleString('ko-KR')}원`;
}

/** 0.8GB */
export function dataText(gigabytes) {
  return `${gigabytes}GB`;
}

/** 350m, 1.2km */
export function distanceText(km) {
  return km < 1 ? `${Math.round(km * 100) * 10}m` : `${km.toFixed(1)}km`;
}

/** 10:00~22:00; `from` and `to` end with a time of day. */
export function hoursText(from, to) {
  const clock = (text) => text.match(/(\d\d:\d\d):\d\d(\.\d+)?$/)[1];
  return clock(from) === clock(to) ? '24시간' : `${clock(from)}~${clock(to)}`;
}
