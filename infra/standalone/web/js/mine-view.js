// View of the member's offers: the list with its tabs, the remaining limits, and the form.

import { balanceLink } from './balance.js';
import { byId, element, icon, picture, skeletons } from './dom.js';
import { dataForm } from './data-form.js';
import { confirm, note } from './dialog.js';
import { describe } from './errors.js';
import { dataText, hoursText, wonText } from './format.js';
import { t } from './i18n.js';
import { KINDS, kindOf } from './market.js';
import { amountOf } from './market-view.js';
import { MONTH_MAX, STATES } from './mine.js';
import { marketHref, mineHref } from './route.js';
import { spotForm } from './spot-form.js';
import { shortText } from './time.js';

export class MineView {
  /** `changed()`: an offer of the member's was made, changed or withdrawn. */
  constructor(mine, wallet, { changed }) {
    this.mine = mine;
    this.wallet = wallet;
    this.onChanged = changed;
    mine.addEventListener('change', ({ detail }) => {
      if (detail === 'list') this.renderList();
      if (detail === 'limits') this.renderLimits();
      if (detail === 'form' || (detail === 'limits' && this.waitsForLimits)) this.renderForm();
    });
    this.renderList();
    this.renderLimits();
    this.renderForm();
  }

  renderLimits() {
    byId('mine-limits').replaceChildren(...limitsOf(this.mine.limits));
  }

  renderList() {
    const { mine } = this;
    const tabs = Object.entries(STATES).map(([state, text]) =>
      element('a', { class: 'filter', href: mineHref({ state: state === 'ACTIVE' ? '' : state }), 'data-state-tab': state, 'aria-current': String(state === mine.state) }, t(text)),
    );
    byId('mine-states').replaceChildren(...tabs);
    const list = byId('mine-offers');
    list.setAttribute('aria-busy', String(mine.count === null && !mine.problem));
    list.replaceChildren(...this.rows());
  }

  rows() {
    const { mine } = this;
    if (mine.problem) return [this.end(describe(mine.problem), t('tryAgain'))];
    if (mine.count === null) return skeletons(4, 'mine-row');
    if (mine.rows.length === 0) return [element('li', { class: 'list-end' }, t(`none${mine.state}`))];
    const rows = mine.rows.map((row) => this.row(row));
    if (mine.next != null) rows.push(this.end('', t('more')));
    return rows;
  }

  end(text, button) {
    const more = element('button', { type: 'button', class: 'action', onclick: () => this.mine.more() }, button);
    return element('li', { class: 'list-end', role: 'status' }, text, more);
  }

  row(row) {
    const kind = kindOf(row.type) ?? 'wifi';
    const isOpen = this.mine.form?.id === row.productId;
    const content = [
      row.productImageUrl ? picture(row.productImageUrl, '', 'mine-picture') : element('span', { class: `mine-icon ${kind}` }, icon(kind === 'data' ? 'data' : 'wifi')),
      element('span', { class: 'mine-texts' }, kind === 'data' ? amountOf(row.remainAmount, 'mine-amount') : element('strong', {}, row.title), element('span', { class: 'tile-unit' }, factsOf(row, kind))),
      element('span', { class: 'mine-end' }, element('span', { class: 'mine-price' }, this.priceOf(row, kind)), element('span', { class: 'mine-date' }, shortText(row.createdAt))),
    ];
    const href = { ACTIVE: `#/mine/edit/${kind}/${row.productId}`, SOLD_OUT: marketHref(kind, row.productId) }[row.state];
    const attributes = { class: 'mine-row', 'data-mine': row.productId, 'aria-current': isOpen ? 'true' : null };
    return element('li', {}, href ? element('a', { ...attributes, href }, ...content) : element('div', attributes, ...content));
  }

  /** Of what is partly sold the price is no longer that of the whole. */
  priceOf(row, kind) {
    const price = this.mine.prices.get(row.productId);
    if (price == null || (kind === 'data' && row.remainAmount !== row.dataAmount)) return '';
    return kind === 'data' ? wonText(price) : t('per10Minutes', { price: wonText(price) });
  }

  renderForm() {
    const { form } = this.mine;
    for (const row of byId('mine-offers').querySelectorAll('[data-mine]')) {
      if (form?.id && row.dataset.mine === String(form.id)) row.setAttribute('aria-current', 'true');
      else row.removeAttribute('aria-current');
    }
    this.waitsForLimits = false;
    byId('mine-form').replaceChildren(...(form ? this.form(form) : chooseKind()));
  }

  form(opened) {
    const { kind, id, detail, problem } = opened;
    const title = element('h2', { tabindex: -1 }, id ? t('editTitle') : t(kind === 'data' ? 'newData' : 'newWifi'));
    const back = element('a', { class: 'icon-button back', href: mineHref(), 'aria-label': t('toMine') }, icon('back'));
    const head = element('header', { class: 'pane-head' }, back, title, balanceLink(this.wallet));
    if (problem) return [head, element('p', { class: 'offer-note', role: 'alert' }, describe(problem))];
    if (detail && !detail.myProduct) return [head, element('p', { class: 'offer-note', role: 'alert' }, t('error3004'))];
    if ((id && !detail) || !this.mine.limits) {
      this.waitsForLimits = true;
      return [head, element('p', { class: 'offer-note', role: 'status' }, t('loading'))];
    }
    const make = kind === 'data' ? dataForm : spotForm;
    const body = make({
      api: this.mine.api,
      limits: this.mine.limits,
      detail,
      path: KINDS[kind].path,
      done: () => this.done(id ? t('changed') : t('registered')),
      remove: () => this.remove(id),
    });
    return [head, element('div', { class: 'form-body' }, body)];
  }

  done(text) {
    this.onChanged();
    note(text);
    location.hash = mineHref();
  }

  async remove(id) {
    const sure = await confirm({ title: t('withdrawTitle'), text: t('withdrawText'), yes: t('withdraw') });
    if (!sure) return;
    await this.mine.api.withdraw(id);
    this.done(t('withdrawn'));
  }
}

function factsOf(row, kind) {
  if (kind === 'data') return t('leftOf', { left: dataText(row.remainAmount), all: dataText(row.dataAmount) });
  return hoursText(row.startTime, row.endTime);
}

/** How much may still be registered this month, and why. */
export function limitsOf(limits) {
  if (!limits) return [element('li', { class: 'skeleton limit', 'aria-hidden': 'true' })];
  const { registered, monthLeft, plan } = limits;
  const month = limit(t('limitMonth'), t('limitMonthLeft', { left: dataText(monthLeft) }), registered, MONTH_MAX, t('limitMonthWhy', { used: dataText(registered), max: dataText(MONTH_MAX) }));
  if (!plan) return [month];
  const { name, currentDataAmount: left, providingDataAmount: all } = plan;
  const ofPlan = limit(t('limitPlan'), t('limitPlanLeft', { left: dataText(left) }), all - left, all, t('limitPlanWhy', { name, all: dataText(all) }));
  return [month, ofPlan];
}

export function limit(title, left, used, max, why) {
  return element(
    'li',
    { class: 'limit' },
    element('span', { class: 'limit-title' }, title),
    element('strong', { class: 'limit-left' }, left),
    element('progress', { max, value: used, 'aria-label': title }),
    element('span', { class: 'limit-why' }, why),
  );
}

/** Content of the pane while no form is open. */
function chooseKind() {
  const card = (kind, title, text) =>
    element('a', { class: 'make', href: `#/mine/new/${kind}` }, element('span', { class: `mine-icon ${kind}` }, icon(kind)), element('strong', {}, title), element('span', {}, text));
  return [
    element(
      'div',
      { class: 'makes' },
      element('h2', {}, t('whatToSell')),
      element('div', { class: 'make-cards' }, card('data', t('newData'), t('newDataText')), card('wifi', t('newWifi'), t('newWifiText'))),
      element('p', { class: 'field-hint' }, t('howItWorks')),
    ),
  ];
}
