// The form of an administrator's decision about a report.

import { countedField } from './counted.js';
import { element } from './dom.js';
import { describe } from './errors.js';
import { form } from './form.js';
import { t } from './i18n.js';

const NOTE_MAX = 200;

/** What can be removed. */
const REMOVABLE = { PRODUCT: 'decideRemoveOffer', REVIEW: 'decideRemoveReview' };

/** `decide({decision, block, remove, note})` */
export function decisionForm(report, { decide }) {
  const remark = countedField({ id: 'decision-note', label: t('decisionNote'), max: NOTE_MAX, rows: 3, hint: t('decisionNoteHint') });
  const check = (id, text) => {
    const input = element('input', { type: 'checkbox', id });
    return { input, node: element('label', { class: 'check', for: id }, input, text) };
  };
  const block = report.memberBlocked ? null : check('decision-block', t('decideBlock'));
  const remove = Object.hasOwn(REMOVABLE, report.subject) ? check('decision-remove', t(REMOVABLE[report.subject])) : null;
  const dismissProblem = element('p', { class: 'problem', role: 'alert' });
  const body = (decision, more = {}) => ({ decision, ...more, ...(remark.text() && { note: remark.text() }) });
  const dismiss = async (event) => {
    const button = event.currentTarget;
    if (!remark.check()) {
      remark.input.focus();
      return;
    }
    button.disabled = true;
    dismissProblem.textContent = '';
    try {
      await decide(body('DISMISS'));
    } catch (error) {
      dismissProblem.textContent = describe(error);
    } finally {
      button.disabled = false;
    }
  };
  const made = form({
    fields: [remark.node, block?.node ?? null, remove?.node ?? null, dismissProblem],
    submit: t('uphold'),
    more: [element('button', { type: 'button', class: 'button', id: 'dismiss', onclick: dismiss }, t('dismiss'))],
    check: () => (remark.check() ? null : remark.input),
    send: () => decide(body('UPHOLD', { ...(block?.input.checked && { block: true }), ...(remove?.input.checked && { remove: true }) })),
  });
  return element('section', { class: 'card decision', 'aria-label': t('decision') }, element('h3', {}, t('decision')), made);
}
