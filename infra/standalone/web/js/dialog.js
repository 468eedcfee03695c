// Confirmation dialog for irreversible actions, dialogs around forms, and short notices.

import { byId, element } from './dom.js';
import { t } from './i18n.js';

const NOTE_MS = 4_000;

/** Whether the member confirmed; closing the dialog in any way means no. `more` are elements below the text. */
export function confirm({ title, text, yes, more = [], look = 'danger' }) {
  return new Promise((resolve) => {
    const close = (value) => () => dialog.close(value);
    const dialog = element(
      'dialog',
      { class: 'dialog', 'aria-labelledby': 'dialog-title', 'aria-describedby': 'dialog-text' },
      element('h2', { id: 'dialog-title' }, title),
      element('p', { id: 'dialog-text' }, text),
      ...more,
      element(
        'div',
        { class: 'dialog-end' },
        element('button', { type: 'button', class: 'button', onclick: close('') }, t('cancel')),
        element('button', { type: 'button', class: `button ${look}`, id: 'dialog-yes', onclick: close('yes') }, yes),
      ),
    );
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A dialog around a form or a choice. `content(close)` makes it. The focus returns to where it was; `after()` leads it elsewhere. */
export function sheet({ id, title, content, after = () => {} }) {
  const close = () => dialog.close();
  const dialog = element('dialog', { class: 'dialog sheet', id, 'aria-labelledby': `${id}-title` }, element('h2', { id: `${id}-title` }, title));
  dialog.append(...content(close));
  dialog.addEventListener('close', () => {
    dialog.remove();
    after();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** The button that leaves a sheet without doing anything. */
export function cancelButton(close) {
  return element('button', { type: 'button', class: 'button', onclick: close }, t('cancel'));
}

let noteTimer = null;

/** A notice that disappears by itself. */
export function note(text) {
  const line = byId('note');
  clearTimeout(noteTimer);
  line.textContent = text;
  line.hidden = false;
  noteTimer = setTimeout(() => {
    line.hidden = true;
    line.textContent = '';
  }, NOTE_MS);
}
