// View of charges: the amount and the way to the payment page, the outcome of a payment, and the member's charges.

import { CHARGE_MAX } from './charges.js';
import { element, icon } from './dom.js';
import { describe, PageError } from './errors.js';
import { field, form, mark } from './form.js';
import { wonText } from './format.js';
import { t } from './i18n.js';
import { facts, listOf, receiptLink, wonIn } from './money-parts.js';
import { cashHref } from './route.js';
import { clockText, dateText, shortText } from './time.js';

/** Amounts to choose from. */
const QUICK = [1_000, 3_000, 5_000, 10_000];

/** The member closed the payment page. */
const CANCELLED = new Set(['PAY_PROCESS_CANCELED', 'USER_CANCEL']);

/** What codes of the payment service mean, the first that fits. */
const REASONS = [
  [/^REJECT_/, 'payREJECT'],
  [/EXCEED|LIMIT/, 'payLIMIT'],
  [/NOT_ENOUGH|BALANCE/, 'payBALANCE'],
  [/CARD/, 'payCARD'],
  [/SESSION|EXPIRED|TIMEOUT/, 'payEXPIRED'],
];

/** The address is not to be trusted: only what has the form of a code is shown. */
const CODE = /^[A-Z0-9_]{1,64}$/;

export class ChargeView {
  constructor(charges) {
    this.charges = charges;
    this.place = element('div', { class: 'charge-way' });
    this.card = element('section', { class: 'hero outcome', role: 'status', 'aria-live': 'polite' });
    this.list = element('ul', { class: 'mine-list cash-rows charges', 'aria-label': t('charges') });
    charges.addEventListener('change', ({ detail }) => {
      if (detail === 'list') this.renderList();
      if (detail === 'checkout') this.renderWay();
      if (detail !== 'list') this.renderOutcome();
    });
    this.renderList();
  }

  /** The pane for a charge. */
  open() {
    this.charges.open();
    this.renderWay();
    return [this.place, ...this.history()];
  }

  /** The pane after the payment page. */
  charged({ paymentKey = '', orderId = '', amount = '' }) {
    this.failure = null;
    this.charges.open();
    this.charges.finish({ paymentKey, orderId, amount });
    this.renderOutcome();
    return [this.card, ...this.history()];
  }

  /** The pane after a payment that did not take place. */
  failed({ code = '' }) {
    this.failure = code;
    this.charges.open();
    this.renderOutcome();
    return [this.card, ...this.history()];
  }

  history() {
    return [element('h3', { class: 'list-title' }, t('charges')), this.list];
  }

  renderWay() {
    const { checkout } = this.charges;
    // What is being filled in stays.
    if (checkout?.available && this.place.querySelector('form')) return;
    this.place.replaceChildren(...this.way(checkout));
  }

  way(checkout) {
    const line = (text, ...more) => [element('div', { class: 'offer-note', role: 'status' }, element('p', {}, text), ...more)];
    if (!checkout) return line(t('loading'));
    if (checkout.problem) {
      const again = element('button', { type: 'button', class: 'action', onclick: () => this.charges.loadCheckout() }, t('tryAgain'));
      return line(describe(checkout.problem), again);
    }
    if (!checkout.available) return line(t('chargeAway'));
    return checkout.payPage ? [this.form()] : line(t('chargeNoPage'));
  }

  form() {
    const input = element('input', { type: 'number', inputmode: 'numeric', min: 1, max: CHARGE_MAX, step: 1, class: 'input', required: true });
    const buttons = QUICK.map((amount) => {
      const choose = () => {
        input.value = amount;
        mark(input, '');
        press();
      };
      return element('button', { type: 'button', class: 'filter', 'data-amount': amount, 'aria-pressed': 'false', onclick: choose }, wonText(amount));
    });
    const press = () => buttons.forEach((button) => button.setAttribute('aria-pressed', String(button.dataset.amount === input.value)));
    input.addEventListener('input', press);
    return form({
      fields: [
        element('div', { class: 'filters quick', role: 'group', 'aria-label': t('chargeQuick') }, ...buttons),
        field('charge-amount', t('chargeAmount'), input, t('chargeAmountHint', { max: wonText(CHARGE_MAX) })),
        element('p', { class: 'field-hint' }, t('chargeHow')),
      ],
      submit: t('chargeGo'),
      check: () => (mark(input, wonIn(input, CHARGE_MAX) ? '' : t('chargeAmountWrong', { max: wonText(CHARGE_MAX) })) ? null : input),
      send: async () => {
        const url = await this.charges.begin(wonIn(input, CHARGE_MAX), t('chargeOrderName'));
        if (!/^https?:/.test(url)) throw new PageError(t('chargeNoPage'));
        location.assign(url);
      },
    });
  }

  renderOutcome() {
    const { outcome } = this.charges;
    if (this.failure != null) this.card.replaceChildren(...this.failureCard(this.failure));
    else if (outcome) this.card.replaceChildren(...this.outcomeCard(outcome));
    this.card.dataset.outcome = this.failure != null ? 'FAILED' : (outcome?.state ?? '');
  }

  outcomeCard({ state, orderId, charge }) {
    const rows = [];
    // What the server stored, not what the address says.
    if (charge) rows.push([t('chargedAmount'), wonText(charge.amount)]);
    if (charge && state === 'WAITING' && charge.dueAt) rows.push([t('depositUntil'), `${dateText(charge.dueAt)} ${clockText(charge.dueAt)}`]);
    if (charge) rows.push([t('orderNumber'), orderId]);
    return [
      element('h3', {}, t(`outcome${state}`)),
      element('p', { class: 'hero-text' }, t(`outcome${state}Text`)),
      rows.length > 0 ? facts(rows) : null,
      element('div', { class: 'outcome-ways' }, ...this.ways(state, charge)),
    ].filter(Boolean);
  }

  ways(state, charge) {
    const again = () => element('a', { class: 'button', href: '#/charge' }, t('chargeAgain'));
    const check = () => element('button', { type: 'button', class: 'button', id: 'check-again', onclick: () => this.charges.again() }, t('checkAgain'));
    switch (state) {
      case 'CAPTURED':
        return [charge?.tradeId ? receiptLink(charge.tradeId) : null, element('a', { class: 'button', href: cashHref() }, t('toCash'))].filter(Boolean);
      case 'WAITING':
        return [this.accountsLink(), check()].filter(Boolean);
      case 'STOPPED':
        return [check()];
      case 'DECLINED':
      case 'AMOUNT':
      case 'GIVENBACK':
        return [again()];
      case 'INVALID':
      case 'MISSING':
        return [element('a', { class: 'button', href: '#/charge' }, t('toCharges'))];
      default:
        return [];
    }
  }

  /** Of the stand-in: its accounts are beside its payment page. */
  accountsLink() {
    const { payPage } = this.charges.checkout ?? {};
    if (!payPage) return null;
    const href = new URL('accounts', new URL(payPage, location.href)).href;
    return element('a', { class: 'button main', id: 'to-accounts', href, target: '_blank', rel: 'noopener' }, t('toAccounts'));
  }

  failureCard(code) {
    const isCode = CODE.test(code);
    const kind = CANCELLED.has(code) ? 'CANCELLED' : 'FAILED';
    const reason = kind === 'FAILED' && isCode ? REASONS.find(([pattern]) => pattern.test(code))?.[1] : null;
    return [
      element('h3', {}, t(`outcome${kind}`)),
      element('p', { class: 'hero-text' }, t(`outcome${kind}Text`)),
      reason ? element('p', {}, t(reason)) : null,
      isCode && kind === 'FAILED' ? element('p', { class: 'field-hint' }, t('payCode', { name: code })) : null,
      element('div', { class: 'outcome-ways' }, element('a', { class: 'button', href: '#/charge' }, t('chargeAgain'))),
    ].filter(Boolean);
  }

  renderList() {
    const { list } = this.charges;
    this.list.setAttribute('aria-busy', String(!list.first && !list.problem));
    this.list.replaceChildren(...listOf(list, (row) => this.row(row), t('noneCharges')));
  }

  row({ orderId, amount, state, tradeId, dueAt, createdAt, paymentId }) {
    const notes = [t(`charge${state}`), state === 'WAITING' && dueAt ? `${t('depositUntil')} ${shortText(dueAt)}` : null, shortText(createdAt)];
    return element(
      'li',
      { class: 'mine-row money-row', 'data-charge': paymentId, 'data-order': orderId, 'data-state': state },
      element('span', { class: 'mine-icon' }, icon('cash')),
      element('span', { class: 'mine-texts' }, element('strong', {}, wonText(amount)), element('span', { class: 'tile-unit' }, notes.filter(Boolean).join(' · '))),
      tradeId ? receiptLink(tradeId, t('charge')) : null,
    );
  }
}
