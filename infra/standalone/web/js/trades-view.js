// View of the histories: balance, this month's limit and purchases on one side; on the other what moved cash in a
// month, with the month's totals.

import { balanceLink } from './balance.js';
import { note } from './dialog.js';
import { byId, element, icon, picture, skeletons } from './dom.js';
import { describe } from './errors.js';
import { changeText, dataText, durationText, wonText } from './format.js';
import { language, t } from './i18n.js';
import { limit } from './mine-view.js';
import { MONTH_MAX } from './mine.js';
import { facts, listOf, receiptLink } from './money-parts.js';
import { reviewSheet } from './review-form.js';
import { cashHref, meHref } from './route.js';
import { monthAfter, monthText, shortText } from './time.js';
import { thisMonth } from './trades.js';

/** Types of trades with their icons. */
const ICONS = {
  PURCHASE_MOBILE_SINGLE: 'data',
  PURCHASE_MOBILE_COMPOSITE: 'mix',
  PURCHASE_WIFI: 'wifi',
  PURCHASE_HOTSPOT: 'hotspot',
  SALE_MOBILE_DATA: 'data',
  SALE_WIFI: 'wifi',
  SALE_HOTSPOT: 'hotspot',
};

/** Purchases and sales with one other side. A combination has several sellers, and cannot be reviewed. */
const REVIEWABLE = ['PURCHASE_MOBILE_SINGLE', 'PURCHASE_WIFI', 'PURCHASE_HOTSPOT', 'SALE_MOBILE_DATA', 'SALE_WIFI', 'SALE_HOTSPOT'];

export class TradesView {
  /** `ask(productId)` opens the conversation with the seller of an offer. */
  constructor(trades, wallet, reviews, { ask }) {
    this.trades = trades;
    this.reviews = reviews;
    reviews.addEventListener('change', ({ detail }) => {
      if (detail !== 'trades') return;
      keepFocus('purchases', () => this.renderPurchases());
      keepFocus('cash', () => this.renderCash());
    });
    this.ask = ask;
    this.wallet = wallet;
    trades.addEventListener('change', ({ detail }) => (detail === 'purchases' ? this.renderPurchases() : this.renderCash()));
    wallet.addEventListener('change', () => this.renderLimits());
    this.renderLimits();
    this.renderPurchases();
    this.renderCash();
  }

  renderLimits() {
    const { cash, bought, left } = this.wallet;
    if (cash == null || bought == null) {
      byId('trades-limits').replaceChildren(...skeletons(2, 'limit'));
      return;
    }
    const balance = element(
      'li',
      { class: 'limit' },
      element('span', { class: 'limit-title' }, t('balance')),
      element('strong', { class: 'limit-left trades-balance' }, wonText(cash)),
      element(
        'div',
        { class: 'cash-ways' },
        element('a', { class: 'button', id: 'to-charge', href: '#/charge' }, t('charge')),
        element('a', { class: 'button', id: 'to-refund', href: '#/refund' }, t('refund')),
        element('a', { class: 'button trades-to-cash', href: cashHref() }, t('toCash')),
      ),
    );
    const month = limit(t('buyLimit'), t('buyLimitLeftShort', { left: dataText(left) }), bought, MONTH_MAX, t('buyLimitWhy', { used: dataText(bought), max: dataText(MONTH_MAX) }));
    byId('trades-limits').replaceChildren(balance, month);
  }

  renderPurchases() {
    const { purchases } = this.trades;
    const list = byId('purchases');
    list.setAttribute('aria-busy', String(!purchases.first && !purchases.problem));
    byId('purchases-count').textContent = purchases.first ? t('purchaseCount', { count: purchases.first.count }) : '';
    list.replaceChildren(...listOf(purchases, (row) => this.marked(row, purchaseRow(row, this.reviewPart(row, 'purchases', 'reviewSeller', purchaseTitle(row))), true), t('nonePurchases')));
    this.toMarked(list);
  }

  /** The trade that the address names; the offer to ask about is in the address, too. */
  marked(row, made, isPurchase) {
    const { tradeId, productId } = this.trades.marked;
    if (row.tradeId !== tradeId) return made;
    made.setAttribute('aria-current', 'true');
    made.tabIndex = -1;
    if (isPurchase && productId) {
      const ask = () => this.ask(productId).catch((error) => note(describe(error)));
      made.append(element('button', { type: 'button', class: 'action trade-ask', onclick: ask }, icon('chat'), t('askSeller')));
    }
    return made;
  }

  /** Once for each trade and list: later changes must not move what is read. */
  toMarked(list) {
    const { marked } = this.trades;
    const row = list.querySelector('[aria-current="true"]');
    if (!row || list.markedBefore === marked) return;
    list.markedBefore = marked;
    row.scrollIntoView({ block: 'nearest' });
    if (row.checkVisibility()) row.focus({ preventScroll: true });
  }

  /** The way to a review of this trade, or that it has one. */
  reviewPart(row, place, title, what) {
    if (!REVIEWABLE.includes(row.tradeType)) return null;
    if (this.reviews.isDone(row)) return element('a', { class: 'quiet review-done', href: meHref('written') }, icon('check'), t('reviewDone'));
    const send = (review) => this.reviews.write(row.tradeId, review);
    // The button that opened the dialog may be another one then.
    const after = () => byId(place).querySelector(`[data-trade="${row.tradeId}"] .quiet`)?.focus();
    const write = () => reviewSheet({ title: t(title), what, done: t('reviewSent'), send, after });
    return element('button', { type: 'button', class: 'quiet review-write', 'aria-label': `${t('reviewWrite')}: ${what}`, onclick: write }, icon('star'), t('reviewWrite'));
  }

  renderCash() {
    const { cash, month } = this.trades;
    if (cash.rows.some(({ tradeType }) => tradeType.startsWith('SALE'))) this.reviews.loadMarks();
    const title = element('h2', { tabindex: -1 }, t('cashHistory'));
    const back = element('a', { class: 'icon-button back', href: '#/trades', 'aria-label': t('toPurchases') }, icon('back'));
    const head = element('header', { class: 'pane-head' }, back, title, balanceLink(this.wallet));
    const focused = document.activeElement?.dataset.month;
    const rows = element('ul', { class: 'mine-list cash-rows', 'aria-busy': String(!cash.first && !cash.problem) }, ...listOf(cash, (row) => this.marked(row, cashRow(row, this.reviewPart(row, 'cash', 'reviewBuyer', cashLabel(row))), false), t('noneCash')));
    const body = element('div', { class: 'offer-body' }, this.months(month), totals(cash.first?.totals), rows);
    byId('cash').replaceChildren(head, body);
    rows.markedBefore = this.cashMarked;
    this.toMarked(rows);
    this.cashMarked = rows.markedBefore;
    if (focused) byId('cash').querySelector(`[data-month="${focused}"]`)?.focus();
  }

  /** The month, and the ways to the one before and after it. */
  months(month) {
    const present = thisMonth();
    const way = (count, name, image) => {
      const to = monthAfter(month, count);
      if (to > present) return element('span', { class: 'icon-button', 'aria-hidden': 'true' });
      return element('a', { class: 'icon-button', href: cashHref({ month: to === present ? '' : to }), 'data-month': count < 0 ? 'before' : 'after', 'aria-label': name }, icon(image));
    };
    return element(
      'div',
      { class: 'months', role: 'group', 'aria-label': t('month') },
      way(-1, t('monthBefore'), 'back'),
      element('strong', { id: 'cash-month', 'aria-live': 'polite' }, monthText(month)),
      way(1, t('monthAfter'), 'next'),
    );
  }
}

/** Renders the rows of a list anew; the row, or what of it had the focus, has it again. */
function keepFocus(id, render) {
  const { activeElement } = document;
  const row = byId(id).contains(activeElement) ? activeElement.closest('[data-trade]') : null;
  render();
  if (!row) return;
  const now = byId(id).querySelector(`[data-trade="${row.dataset.trade}"]`);
  const [name] = activeElement.classList;
  const same = activeElement === row ? now : now?.querySelector(name.startsWith('quiet') ? '.quiet' : `.${name}`);
  same?.focus({ preventScroll: true });
}

function emblem(type, image = null) {
  return image ? picture(image, '', 'mine-picture') : element('span', { class: 'mine-icon' }, icon(ICONS[type] ?? 'cash'));
}

function purchaseTitle(row) {
  return row.dataAmount > 0 ? dataText(row.dataAmount) : row.title;
}

function purchaseRow(row, review) {
  const title = purchaseTitle(row);
  const facts = [t(`trade${row.tradeType}`), row.timeAmount > 0 ? durationText(row.timeAmount) : null];
  return element(
    'li',
    { class: 'mine-row with-receipt', 'data-trade': row.tradeId },
    emblem(row.tradeType, row.productImageUrl),
    element('span', { class: 'mine-texts' }, element('strong', {}, title), element('span', { class: 'tile-unit' }, facts.filter(Boolean).join(' · '))),
    element('span', { class: 'mine-date' }, shortText(row.createdAt)),
    receiptLink(row.tradeId, title),
    review,
  );
}

/** The kinds of trades, in the order of the totals: text, and what they do to the member's cash. */
const KINDS = {
  CHARGE: ['totalCharge', 1],
  SALE: ['totalSelling', 1],
  PURCHASE: ['totalPurchase', -1],
  REFUND: ['totalRefund', -1],
};

function kindOf(type) {
  return KINDS[type.split('_')[0]] ?? ['total', 1];
}

/** The server's label also has the amount, but only in Korean. */
function cashLabel(row) {
  return language === 'ko' ? row.description : t(`trade${row.tradeType}`);
}

function cashRow(row, review) {
  const [kind, sign] = kindOf(row.tradeType);
  const amount = sign * row.price;
  const label = cashLabel(row);
  return element(
    'li',
    { class: 'mine-row with-receipt', 'data-trade': row.tradeId, 'data-type': row.tradeType },
    emblem(row.tradeType),
    element('span', { class: 'mine-texts' }, element('strong', {}, label), element('span', { class: 'tile-unit' }, `${t(kind)} · ${shortText(row.createdAt)}`)),
    element('strong', { class: amount < 0 ? 'cash-change' : 'cash-change gain' }, changeText(amount)),
    receiptLink(row.tradeId, label),
    review,
  );
}

function totals(sums) {
  if (!sums) return element('div', { class: 'skeleton totals-skeleton', 'aria-hidden': 'true' });
  const rows = [
    [t('totalCharge'), changeText(sums.totalCharge)],
    [t('totalSelling'), changeText(sums.totalSelling)],
    [t('totalPurchase'), changeText(-sums.totalPurchase)],
    [t('totalRefund'), changeText(-sums.totalRefund)],
    [t('total'), changeText(sums.total)],
  ];
  const made = facts(rows);
  made.classList.add('totals');
  return made;
}
