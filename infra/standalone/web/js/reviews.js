// State of reviews: those of the member whose page is open, and those that the signed-in member wrote. Views are notified
// by `change` events.

import { History } from './trades.js';

const PAGE = 10;

/** To find which sales are reviewed, at most this many reviews are read. */
const MARKS_PAGE = 100;
const MARK_PAGES_MAX = 5;

/** The trade has a review already: written in another tab, or on another device. */
const REPEATED = 6003;

/** Sort options with their texts; the first is the default. */
export const SORTS = { RECENT: 'sortRecent', OLDEST: 'sortOldest', RATING_DESC: 'sortRating', RATING_ASC: 'sortRatingAsc' };

export class Reviews extends EventTarget {
  constructor(people) {
    super();
    this.people = people;
    /** Whose reviews are shown. */
    this.memberId = null;
    this.received = this.listOf('received', (sort, cursor) => people.received(this.memberId, sort, PAGE, cursor));
    this.written = this.listOf('written', (sort, cursor) => people.written(sort, PAGE, cursor));
    /** Trades that the member reviewed, as far as this tab knows. */
    this.trades = new Set();
    this.marks = null;
  }

  listOf(name, load) {
    const list = new History((cursor) => load(list.sort, cursor), () => this.changed(name));
    list.sort = Object.keys(SORTS)[0];
    return list;
  }

  /** Reads the reviews of this member from the beginning. */
  showReceived(memberId, sort) {
    this.memberId = memberId;
    this.show(this.received, sort);
  }

  showWritten(sort) {
    this.show(this.written, sort);
  }

  show(list, sort) {
    list.sort = Object.hasOwn(SORTS, sort ?? '') ? sort : Object.keys(SORTS)[0];
    list.reload();
  }

  /** Whether this trade is reviewed; a purchase says it by itself. */
  isDone({ tradeId, reviewed }) {
    return reviewed === true || this.trades.has(tradeId);
  }

  /** Sales do not say whether they are reviewed: the reviews themselves do. Reads them once. */
  loadMarks() {
    this.marks ??= this.readMarks();
    return this.marks;
  }

  async readMarks() {
    let cursor = null;
    const before = this.trades.size;
    try {
      for (let pages = 0; pages < MARK_PAGES_MAX; pages += 1) {
        const { rows, next } = await this.people.written('RECENT', MARKS_PAGE, cursor);
        for (const { tradeId } of rows) this.trades.add(tradeId);
        cursor = next;
        if (cursor == null) break;
      }
    } catch {
      this.marks = null; // The next list of sales reads them again; until then the server refuses a second review.
    }
    if (this.trades.size > before) this.changed('trades');
  }

  async write(tradeId, review) {
    try {
      await this.people.writeReview(tradeId, review);
    } catch (error) {
      if (error.code === REPEATED) this.done(tradeId);
      throw error;
    }
    this.done(tradeId);
  }

  done(tradeId) {
    this.trades.add(tradeId);
    this.changed('trades');
  }

  async edit(row, review) {
    await this.people.changeReview(row.reviewId, review);
    await this.written.reload();
  }

  async delete(row) {
    await this.people.deleteReview(row.reviewId);
    this.trades.delete(row.tradeId);
    this.changed('trades');
    await this.written.reload();
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }
}
