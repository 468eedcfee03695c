// The member's balance, at the places where it is shown.

import { element, icon } from './dom.js';
import { wonText } from './format.js';
import { t } from './i18n.js';
import { cashHref } from './route.js';

/** The member's balance, which leads to what moved it. It is in the menu, and on a phone at the head of each pane. */
export function balanceLink(wallet) {
  const made = element('a', { class: 'balance', href: cashHref() }, icon('cash'), element('span', { class: 'balance-amount' }));
  showBalance(made, wallet);
  return made;
}

/** Shows the balance as it is now, everywhere below `root`. */
export function showBalance(root, { cash }) {
  const places = root.matches?.('.balance') ? [root] : root.querySelectorAll('.balance');
  for (const place of places) {
    place.querySelector('.balance-amount').textContent = cash == null ? '' : wonText(cash);
    place.setAttribute('aria-label', cash == null ? t('balance') : `${t('balance')} ${wonText(cash)}`);
  }
}
