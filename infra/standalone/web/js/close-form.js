// The form that closes the account: what it means, a word to type, and what has to be settled before.

import { element, icon } from './dom.js';
import { field, form, mark } from './form.js';
import { t } from './i18n.js';
import { cashHref } from './route.js';

/** Something has to be settled before; `data.reasons` says what. */
const IN_USE = 2015;

const MEANING = ['closeLoses', 'closeOffers', 'closeMessages', 'closeReviews', 'closeFinal'];

/** Each reason with its sentence, the address that settles it, and the text of the link. */
const REASONS = {
  CASH: ['closeCASH', '#/refund', 'refundTitle'],
  DEBT: ['closeDEBT', '#/charge', 'chargeTitle'],
  CHARGE: ['closeCHARGE', '#/charge', 'charges'],
  REFUND: ['closeREFUND', '#/refund', 'refunds'],
  BOOKING: ['closeBOOKING', '#/trades', 'toPurchases'],
  ADMIN: ['closeADMIN', '#/admin', 'admin'],
};

/** `send()` closes the account, and `done()` leaves the page. */
export function closeForm({ send, done }) {
  const word = t('closeWord');
  const input = element('input', { type: 'text', class: 'input', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' });
  const reasons = element('div', { class: 'close-reasons', role: 'alert' });
  const isTyped = () => input.value.trim().toLowerCase() === word.toLowerCase();
  const made = form({
    fields: [field('close-word', t('closeType', { word }), input), reasons],
    submit: t('closeAccount'),
    more: [element('a', { class: 'button', href: '#/me' }, t('cancel'))],
    check: () => (mark(input, isTyped() ? '' : t('closeTypeWrong', { word })) ? null : input),
    send: async () => {
      reasons.replaceChildren();
      try {
        await send();
      } catch (error) {
        if (error.code !== IN_USE) throw error;
        reasons.replaceChildren(...reasonsOf(error.data?.reasons ?? []));
        return;
      }
      done();
    },
  });
  made.querySelector('.main').classList.replace('main', 'danger');
  const meaning = element('ul', { class: 'close-meaning' }, ...MEANING.map((text) => element('li', {}, t(text))));
  return element('section', { class: 'card close-account' }, element('p', {}, t('closeMeans')), meaning, made);
}

function reasonsOf(reasons) {
  const rows = reasons.map((reason) => {
    const [text, href, link] = REASONS[reason] ?? ['closeOther', cashHref(), 'toCash'];
    return element('li', { 'data-reason': reason }, element('span', {}, t(text)), element('a', { class: 'action', href }, t(link), icon('next')));
  });
  return [element('p', { class: 'problem' }, t('closeFirst')), element('ul', { class: 'close-list' }, ...rows)];
}
