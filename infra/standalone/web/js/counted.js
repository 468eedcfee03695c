// A text of bounded length, with the number of its characters below it.

import { charsOf } from './composer.js';
import { element } from './dom.js';
import { field, mark } from './form.js';
import { t } from './i18n.js';

/** The field, and its text: `text()` is trimmed; `check()` shows what is wrong and returns whether nothing is. */
export function countedField({ id, label, max, value = '', rows = 2, missing = null, hint = null }) {
  const input = element('textarea', { class: 'input', rows, 'aria-required': missing ? 'true' : null });
  input.value = value;
  const count = element('span', { class: 'counted', 'aria-hidden': 'true' });
  const text = () => input.value.trim();
  const show = () => {
    const chars = charsOf(text());
    count.textContent = `${chars}/${max}`;
    count.classList.toggle('over', chars > max);
  };
  const check = () => {
    if (charsOf(text()) > max) return mark(input, t('tooLong', { max }));
    return mark(input, missing && text() === '' ? missing : '');
  };
  input.addEventListener('input', () => {
    show();
    // What was marked is checked again while it is mended; a text that is too long is said at once.
    if (input.hasAttribute('aria-invalid') || charsOf(text()) > max) check();
  });
  show();
  const node = field(id, label, input, hint ?? t('charsMax', { max }));
  node.append(count);
  return { node, input, text, check };
}
