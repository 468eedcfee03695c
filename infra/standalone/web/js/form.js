// Form elements: fields with label, hint and error text, and a submit that runs once.

import { element } from './dom.js';
import { describe } from './errors.js';
import { t } from './i18n.js';

/** A control under its label; `hint` is read out with it. */
export function field(id, label, control, hint = null) {
  control.id = id;
  const problem = element('p', { class: 'field-problem', id: `${id}-problem`, role: 'alert' });
  const described = [hint ? `${id}-hint` : null, `${id}-problem`].filter(Boolean).join(' ');
  control.setAttribute('aria-describedby', described);
  return element(
    'div',
    { class: 'field' },
    element('label', { for: id }, label),
    control,
    hint ? element('p', { class: 'field-hint', id: `${id}-hint` }, hint) : null,
    problem,
  );
}

/** A choice of one of few; `options` are `[value, title, description]`. */
export function choice(name, legend, options, chosen) {
  const rows = options.map(([value, title, description]) =>
    element(
      'label',
      { class: 'radio' },
      element('input', { type: 'radio', name, value, checked: value === chosen }),
      element('span', {}, element('strong', {}, title), element('span', { class: 'field-hint' }, description)),
    ),
  );
  return element('fieldset', { class: 'field' }, element('legend', {}, legend), element('div', { class: 'radios' }, ...rows));
}

/** Shows an error below the control; an empty text removes it. */
export function mark(control, text) {
  const problem = document.getElementById(`${control.id}-problem`);
  if (problem) problem.textContent = text;
  if (text) control.setAttribute('aria-invalid', 'true');
  else control.removeAttribute('aria-invalid');
  return text === '';
}

/**
 * A form around these fields. `check()` marks the invalid controls and returns the first, or `null`;
 * `send()` is a promise, and its error is shown.
 */
export function form({ fields, submit, check, send, more = [] }) {
  const problem = element('p', { class: 'problem', role: 'alert' });
  const button = element('button', { type: 'submit', class: 'button main' }, submit);
  const onsubmit = async (event) => {
    event.preventDefault();
    problem.textContent = '';
    const wrong = check();
    if (wrong) {
      wrong.focus();
      return;
    }
    button.disabled = true;
    made.setAttribute('aria-busy', 'true');
    button.textContent = t('sending');
    try {
      await send();
    } catch (error) {
      problem.textContent = describe(error);
    } finally {
      button.disabled = false;
      made.removeAttribute('aria-busy');
      button.textContent = submit;
    }
  };
  const made = element('form', { class: 'form', novalidate: true, onsubmit }, ...fields, problem, element('div', { class: 'form-end' }, ...more, button));
  return made;
}

/** A whole number of won within the market's limits. */
export function priceOf(input) {
  const won = Number(input.value);
  return input.value.trim() !== '' && Number.isInteger(won) && won >= 1 && won <= PRICE_MAX ? won : null;
}

export const PRICE_MAX = 10_000_000;

export function priceInput(value) {
  return element('input', { type: 'number', inputmode: 'numeric', min: 1, max: PRICE_MAX, step: 1, class: 'input', value, required: true });
}
