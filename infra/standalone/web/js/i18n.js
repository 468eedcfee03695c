// The language of the page: the one chosen here before, else the browser's. Every text of the page is in the tables
// `texts-ko.js` and `texts-en.js`; amounts, prices and times are formatted for the same language.

import { texts as en } from './texts-en.js';
import { texts as ko } from './texts-ko.js';

const KEY = 'dapanda.language';

const TABLES = { ko, en };

/** How `Intl` names them. */
const LOCALES = { ko: 'ko-KR', en: 'en-US' };

/** Their own names, for the switch. */
export const LANGUAGES = { ko: '한국어', en: 'English' };

export const language = chosen() ?? ofBrowser() ?? 'en';
export const locale = LOCALES[language];

/** A text of the page; `values` fill its placeholders. */
export function t(key, values = {}) {
  const text = TABLES[language][key];
  return typeof text === 'function' ? text(values) : (text ?? key);
}

/** Whether the text exists: the server may have newer error codes than this page. */
export function has(key) {
  return Object.hasOwn(TABLES[language], key);
}

/** Reloads in another language; the address keeps the state. */
export function choose(other) {
  localStorage.setItem(KEY, other);
  location.reload();
}

/** Fills in the texts of `index.html`: `data-t` is an element's content, `data-t-…` an attribute. */
export function translate(root) {
  document.documentElement.lang = language;
  for (const one of root.querySelectorAll('*')) {
    for (const { name, value } of [...one.attributes]) {
      if (name === 'data-t') one.textContent = t(value);
      else if (name.startsWith('data-t-')) one.setAttribute(name.slice('data-t-'.length), t(value));
    }
  }
}

function chosen() {
  const stored = localStorage.getItem(KEY);
  return Object.hasOwn(TABLES, stored ?? '') ? stored : null;
}

function ofBrowser() {
  const wanted = navigator.languages.map((tag) => tag.toLowerCase().split('-')[0]);
  return wanted.find((one) => Object.hasOwn(TABLES, one));
}
