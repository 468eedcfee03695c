// Lists of reviews: their order, and a row of each.

import { byId, element, icon } from './dom.js';
import { dataText, durationText } from './format.js';
import { t } from './i18n.js';
import { listOf } from './money-parts.js';
import { reportButton } from './report-form.js';
import { deleteReview, reviewSheet } from './review-form.js';
import { SORTS } from './reviews.js';
import { memberHref } from './route.js';
import { stars } from './stars.js';
import { shortText } from './time.js';

const ITEMS = { MOBILE_DATA: 'kindData', WIFI: 'kindWifi', HOTSPOT: 'kindHotspot' };

/** The orders as links: `href(sort)`; the default one is `''`. */
export function sortLinks(list, href) {
  const links = Object.entries(SORTS).map(([sort, text], nth) =>
    element('a', { class: 'filter', href: href(nth === 0 ? '' : sort), 'data-sort': sort, 'aria-current': String(sort === list.sort) }, t(text)),
  );
  return element('nav', { class: 'filters review-sorts', 'aria-label': t('sortLabel') }, ...links);
}

/** Reviews that a member received. The signed-in member's own among them cannot be reported. */
export function receivedRows(reviews, people, self) {
  const row = (one) => {
    const author = element('a', { class: 'review-name', href: memberHref(one.reviewerId) }, one.reviewerName);
    const report = one.reviewerId === self ? null : reportButton(people, { category: 'REVIEW', targetId: one.reviewId, text: one.comment });
    return reviewRow(one, author, report);
  };
  return listOf(reviews.received, row, t('noReviewsYet'));
}

/** Reviews that the signed-in member wrote, with the ways to change and delete them. */
export function writtenRows(reviews) {
  const row = (one) => {
    const edit = () =>
      reviewSheet({
        title: t('reviewEdit'), what: t('reviewAbout', { name: one.revieweeName, what: whatOf(one) }), before: one, done: t('reviewChanged'),
        send: (review) => reviews.edit(one, review),
        after: () => focusOn(`[data-review="${one.reviewId}"] .review-edit`),
      });
    const button = (name, image, text, onclick) =>
      element('button', { type: 'button', class: `quiet ${name}`, onclick }, icon(image), text);
    return reviewRow(
      one,
      element('span', { class: 'review-name' }, t('reviewOf', { name: one.revieweeName })),
      button('review-edit', 'edit', t('edit'), edit),
      button('review-delete', 'trash', t('delete'), async () => {
        if (await deleteReview(reviews, one)) focusOn('.review-edit, h2');
      }),
    );
  };
  return listOf(reviews.written, row, t('noReviewsWritten'));
}

/** The list is another one now: the focus stays in it. */
function focusOn(selector) {
  byId('me-part').querySelector(selector)?.focus();
}

function reviewRow(row, author, ...actions) {
  const isChanged = row.updatedAt && row.updatedAt !== row.createdAt;
  const facts = [whatOf(row), shortText(row.createdAt), isChanged ? t('reviewWasChanged') : null].filter(Boolean).join(' · ');
  return element(
    'li',
    { class: 'review', 'data-review': row.reviewId },
    element('div', { class: 'review-head' }, stars(row.rating), element('strong', { 'aria-hidden': 'true' }, row.rating.toFixed(1)), author),
    row.comment ? element('p', { class: 'review-comment' }, row.comment) : null,
    element('p', { class: 'tile-unit' }, facts),
    element('div', { class: 'review-actions' }, ...actions),
  );
}

/** What the trade was about. */
function whatOf({ itemType, dataAmount, timeAmount }) {
  const amount = dataAmount > 0 ? dataText(dataAmount) : timeAmount > 0 ? durationText(timeAmount) : null;
  return [Object.hasOwn(ITEMS, itemType ?? '') ? t(ITEMS[itemType]) : null, amount].filter(Boolean).join(' ');
}
