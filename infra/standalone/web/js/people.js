// REST client of what members say and decide about each other: reviews, reports, blocks; and of the end of an account.

import { pageOf } from './api.js';

/** Characters of a review's comment, and of a report's reason. */
export const COMMENT_MAX = 50;
export const REASON_MAX = 100;

export class People {
  constructor(api) {
    this.api = api;
  }

  member(memberId) {
    return this.api.member(memberId);
  }

  /** Active offers of a member. */
  offers(memberId, size) {
    return this.api.selling(memberId, 'ACTIVE', size);
  }

  writeReview(tradeId, review) {
    return this.api.call('POST', `/api/trades/${tradeId}/reviews`, review);
  }

  changeReview(reviewId, review) {
    return this.api.call('PATCH', `/api/reviews/${reviewId}`, review);
  }

  deleteReview(reviewId) {
    return this.api.call('DELETE', `/api/reviews/${reviewId}`);
  }

  /** A page of the reviews of a member. */
  received(memberId, sort, size, cursorId = null) {
    return this.api.rowsOf(`/api/members/${memberId}/reviews/received?reviewSortOption=${sort}&${pageOf(size, cursorId)}`);
  }

  /** A page of the reviews by the signed-in member. */
  written(sort, size, cursorId = null) {
    return this.api.rowsOf(`/api/reviews/written?reviewSortOption=${sort}&${pageOf(size, cursorId)}`);
  }

  /** `category` is MEMBER, PRODUCT, REVIEW or CHAT. */
  report(category, targetId, reason) {
    return this.api.call('POST', `/api/report/${targetId}`, { reason, targetCategory: category });
  }

  block(memberId) {
    return this.api.call('POST', `/api/members/${memberId}/block`);
  }

  unblock(memberId) {
    return this.api.call('DELETE', `/api/members/${memberId}/block`);
  }

  /** A page of the members whom the signed-in member blocked. */
  blocked(size, cursorId = null) {
    return this.api.rowsOf(`/api/members/blocked?${pageOf(size, cursorId)}`);
  }

  /** For ever. 2015 has the reasons why it is not possible yet. */
  closeAccount() {
    return this.api.call('DELETE', '/api/members/me');
  }
}
