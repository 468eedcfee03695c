// Parts that the views of cash share.

import { element, icon, skeletons } from './dom.js';
import { describe } from './errors.js';
import { t } from './i18n.js';
import { receiptHref } from './route.js';

/** A whole number of won from 1 to `max`, or `null`. */
export function wonIn(input, max) {
  const won = Number(input.value);
  return input.value.trim() !== '' && Number.isInteger(won) && won >= 1 && won <= max ? won : null;
}

/** Names and values. */
export function facts(pairs) {
  return element('dl', { class: 'facts' }, ...pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}

/** The rows of a history, or why there are none, and the way to more. */
export function listOf(history, row, none) {
  const end = (text, button) =>
    element('li', { class: 'list-end', role: 'status' }, text, element('button', { type: 'button', class: 'action', onclick: () => history.more() }, button));
  if (history.problem && !history.first) return [end(describe(history.problem), t('tryAgain'))];
  if (!history.first) return skeletons(4, 'mine-row');
  if (history.rows.length === 0) return [element('li', { class: 'list-end' }, none)];
  const rows = history.rows.map(row);
  if (history.problem) rows.push(end(describe(history.problem), t('tryAgain')));
  else if (history.next != null) rows.push(end('', t('more')));
  return rows;
}

/** The way to a trade's receipt: a button, or in the row of `what` a symbol. */
export function receiptLink(tradeId, what = null) {
  const href = receiptHref(tradeId);
  if (what == null) return element('a', { class: 'button', href, 'data-receipt': tradeId }, icon('list'), t('receipt'));
  return element('a', { class: 'icon-button receipt-link', href, 'data-receipt': tradeId, 'aria-label': t('receiptOf', { what }), title: t('receipt') }, icon('list'));
}
