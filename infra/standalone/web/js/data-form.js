// The form of an offer of mobile data.

import { element, icon } from './dom.js';
import { describe } from './errors.js';
import { choice, field, form, mark, priceInput, priceOf } from './form.js';
import { dataText, wonText } from './format.js';
import { t } from './i18n.js';
import { amountOf } from './market-view.js';
import { MONTH_MAX, round } from './mine.js';

const STEP = 0.1;

/** `detail` is the offer to be changed, or `null`. */
export function dataForm({ api, limits, detail, path, done, remove }) {
  const own = detail?.remainAmount ?? 0;
  const planLeft = limits.plan?.currentDataAmount ?? 0;
  const max = Math.min(MONTH_MAX, round(limits.monthLeft + own), round(planLeft + own));
  if (max < STEP) return full(limits);

  const amount = element('input', { type: 'range', min: STEP, max, step: STEP, value: own || Math.min(max, 0.5), class: 'range' });
  const shown = element('output', { class: 'range-value', for: 'data-amount' });
  const price = priceInput(detail?.price ?? '');
  const unit = element('p', { class: 'computed', 'aria-live': 'polite' });
  const how = choice('split', t('howToSell'), [
    ['whole', t('sellWhole'), t('sellWholeText')],
    ['split', t('sellSplit'), t('sellSplitText')],
  ], detail?.splitType ? 'split' : 'whole');

  const show = () => {
    const gigabytes = round(Number(amount.value));
    shown.replaceChildren(amountOf(gigabytes, 'hero-amount'));
    amount.setAttribute('aria-valuetext', dataText(gigabytes));
    const won = priceOf(price);
    unit.textContent = won ? t('unitPrice', { price: wonText(Math.ceil(won / Math.round(gigabytes * 10))) }) : '';
  };
  amount.oninput = show;
  price.oninput = show;
  show();

  const check = () => (mark(price, priceOf(price) ? '' : t('priceWrong')) ? null : price);
  const send = async () => {
    const isSplitType = made.elements.split.value === 'split';
    const common = { price: priceOf(price), isSplitType };
    const gigabytes = round(Number(amount.value));
    if (detail) await api.change(path, { ...common, productId: detail.productId, changedAmount: gigabytes });
    else await api.register(path, { ...common, dataAmount: gigabytes });
    done();
  };
  const made = form({
    fields: [
      shown,
      field('data-amount', t('amountToSell'), amount, t('amountHint', { max: dataText(max), month: dataText(round(limits.monthLeft + own)), plan: dataText(round(planLeft + own)) })),
      field('data-price', t('priceOfAll'), price, t('priceOfAllHint')),
      unit,
      how,
      element('p', { class: 'field-hint' }, t('dataUntil')),
    ],
    submit: detail ? t('save') : t('register'),
    check,
    send,
    more: detail ? [withdrawButton(remove)] : [],
  });
  return made;
}

/** Deletes the offer, after a confirmation. */
export function withdrawButton(remove) {
  const problem = element('span', { class: 'problem', role: 'alert' });
  const onclick = async () => {
    problem.textContent = '';
    try {
      await remove();
    } catch (error) {
      problem.textContent = describe(error);
    }
  };
  const button = element('button', { type: 'button', class: 'button danger withdraw', onclick }, icon('trash'), t('withdraw'));
  return element('span', { class: 'withdraw-part' }, button, problem);
}

/** Why nothing may be registered. */
function full(limits) {
  const text = limits.monthLeft < STEP ? t('monthFull', { max: dataText(MONTH_MAX) }) : t('planEmpty');
  return element('div', { class: 'offer-note', role: 'status' }, element('p', {}, text), element('a', { class: 'button', href: '#/mine/new/wifi' }, t('newWifi')));
}
