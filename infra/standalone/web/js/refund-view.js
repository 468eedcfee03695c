// View of payouts: the amount, the answer, and the member's payouts with their states.

import { confirm } from './dialog.js';
import { element, icon } from './dom.js';
import { field, form, mark } from './form.js';
import { describe, PageError } from './errors.js';
import { wonText } from './format.js';
import { t } from './i18n.js';
import { listOf, receiptLink, wonIn } from './money-parts.js';
import { isUncertain } from './purchase.js';
import { stateOf } from './refunds.js';
import { shortText } from './time.js';

export class RefundView {
  constructor(refunds, wallet) {
    this.refunds = refunds;
    this.wallet = wallet;
    this.place = element('div', { class: 'refund-way' });
    this.answer = element('p', { class: 'bought refund-answer', role: 'status', 'aria-live': 'polite' });
    this.list = element('ul', { class: 'mine-list cash-rows refunds', 'aria-label': t('refunds') });
    /** The balance that the form was made for. */
    this.formCash = null;
    refunds.addEventListener('change', ({ detail }) => (detail === 'list' ? this.renderList() : this.renderAnswer()));
    wallet.addEventListener('change', () => this.renderWay());
    this.renderList();
  }

  open() {
    this.refunds.answer = null;
    this.refunds.open();
    this.renderAnswer();
    this.renderWay();
    return [this.place, this.answer, element('h3', { class: 'list-title' }, t('refunds')), this.list];
  }

  renderWay() {
    const { cash } = this.wallet;
    const now = this.place.querySelector('form');
    // What is being filled in stays, unless there is another balance.
    if (now && (this.formCash === cash || now.getAttribute('aria-busy'))) return;
    this.formCash = cash;
    const { pending } = this.refunds;
    if (cash == null) this.place.replaceChildren(element('p', { class: 'offer-note', role: 'status' }, t('loading')));
    else if (cash === 0 && !pending) this.place.replaceChildren(element('p', { class: 'offer-note', role: 'status' }, t('refundNone')));
    else this.place.replaceChildren(this.form(pending, Math.max(cash, pending?.amount ?? 0)));
  }

  form(pending, max) {
    const input = element('input', {
      type: 'number', inputmode: 'numeric', min: 1, max, step: 1, class: 'input', required: true, value: pending?.amount, readonly: Boolean(pending),
    });
    const all = () => {
      input.value = max;
      mark(input, '');
    };
    return form({
      fields: [
        field('refund-amount', t('refundAmount'), input, t('refundAmountHint', { max: wonText(max) })),
        pending ? element('p', { class: 'field-hint', id: 'refund-pending' }, t('refundUncertain')) : element('button', { type: 'button', class: 'filter', id: 'refund-all', onclick: all }, t('refundAll')),
        element('p', { class: 'field-hint' }, t('refundAskText')),
      ],
      submit: t('refundGo'),
      check: () => (mark(input, wonIn(input, max) ? '' : t('refundAmountWrong', { max: wonText(max) })) ? null : input),
      send: () => this.send(wonIn(input, max)),
    });
  }

  async send(amount) {
    const sure = await confirm({ title: t('refundAsk', { amount: wonText(amount) }), text: t('refundAskText'), yes: t('refundGo'), look: 'main' });
    if (!sure) return;
    try {
      await this.refunds.send(amount);
      this.formCash = null;
      this.place.replaceChildren();
      this.renderWay();
    } catch (error) {
      throw isUncertain(error) ? new PageError(`${describe(error)} ${t('refundUncertain')}`) : error;
    }
  }

  renderAnswer() {
    const { answer } = this.refunds;
    const texts = answer ? [t('refundAccepted', { amount: wonText(answer.refundPrice) }), t('refundRemain', { left: wonText(answer.remainCash) })] : [];
    this.answer.replaceChildren(...(answer ? [icon('check'), element('span', {}, texts.join(' '))] : []));
    this.answer.hidden = !answer;
  }

  renderList() {
    const { list } = this.refunds;
    this.list.setAttribute('aria-busy', String(!list.first && !list.problem));
    this.list.replaceChildren(...listOf(list, (row) => this.row(row), t('noneRefunds')));
  }

  row(row) {
    const state = stateOf(row);
    const text = t(`refund${state}`, { left: wonText(row.returned ?? 0) });
    return element(
      'li',
      { class: 'mine-row money-row', 'data-refund': row.requestId, 'data-state': state },
      element('span', { class: 'mine-icon' }, icon('cash')),
      element('span', { class: 'mine-texts' }, element('strong', {}, wonText(row.amount)), element('span', { class: 'tile-unit' }, `${text} · ${shortText(row.createdAt)}`)),
      row.tradeId ? receiptLink(row.tradeId, t('refund')) : null,
    );
  }
}
