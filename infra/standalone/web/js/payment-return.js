// The browser's return from the payment page, which may be in a tab without a session: an app of a bank opens one of its
// own. What the address has is kept until the member is known.

import { chargedHref, failedHref } from './route.js';
import { ProviderSession, signedInMember } from './session.js';

const KEY = 'dapanda.payment';

/** Turns the address of the return into one of the page's own; whether there was a return. */
export function comeBackFromPayment() {
  const query = new URLSearchParams(location.search);
  const how = query.get('charge');
  if (how !== 'done' && how !== 'failed') return false;
  const values = Object.fromEntries(query);
  const hash = how === 'done' ? chargedHref(values) : failedHref(values);
  sessionStorage.setItem(KEY, hash);
  history.replaceState(null, '', `/${hash}`);
  return true;
}

/** The session of the site's cookies, for a tab that has none of its own. */
export function sessionOfSite() {
  const member = signedInMember();
  return member && new ProviderSession(member);
}

/** Where the payment is shown that this tab has come back from, once; `null` without one. */
export function takePayment() {
  const hash = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  return hash;
}
