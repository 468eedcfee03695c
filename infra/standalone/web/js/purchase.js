// Purchases: a question with price and balance, the request, and the question again where the price has changed.
//
// An intent is one path with one body. It keeps its idempotency key until its outcome is certain, so that a retry after
// a lost response does not buy twice.

import { ApiError } from './api.js';
import { confirm } from './dialog.js';
import { element } from './dom.js';
import { describe } from './errors.js';
import { dataText, wonText } from './format.js';
import { t } from './i18n.js';
import { randomId } from './outbox.js';

const PRICE_CHANGED = 4008;
const STILL_RUNS = 5010;
const SERVER_ERROR = 500;

export class Purchases {
  /** `bought()`: something was bought, or an outcome is uncertain; lists and balance may be others now. */
  constructor(api, wallet, { bought }) {
    this.api = api;
    this.wallet = wallet;
    this.onBought = bought;
    /** Keys of intents without a certain outcome, by path and body. */
    this.keys = new Map();
  }

  async send(path, order) {
    const intent = `${path} ${JSON.stringify(order)}`;
    const key = this.keys.get(intent) ?? randomId();
    this.keys.set(intent, key);
    try {
      const bought = await this.api.buy(path, order, key);
      this.keys.delete(intent);
      return bought;
    } catch (error) {
      if (!isUncertain(error)) this.keys.delete(intent);
      throw error;
    }
  }

  /**
   * Confirms with the member and buys; whether it was bought. `what` is bought for `price` by the request
   * `order(price)` at `path`. Refusals are thrown, but a changed price is shown and confirmed again; not so where
   * the refusal has a whole new quote (`isQuoted`), which the caller shows.
   */
  async buy({ what, price, path, order, isQuoted = false }) {
    let [now, before] = [price, null];
    for (;;) {
      if (!(await this.isWanted(what, now, before))) return false;
      try {
        await this.send(path, order(now));
        this.onBought();
        return true;
      } catch (error) {
        if (isQuoted || error.code !== PRICE_CHANGED || error.data?.price == null) {
          this.onBought();
          throw error;
        }
        [now, before] = [error.data.price, now];
      }
    }
  }

  isWanted(what, price, before) {
    const { cash } = this.wallet;
    const text = before == null ? t('buyFinal') : t('priceChanged', { before: wonText(before), now: wonText(price) });
    const facts = [[t('price'), wonText(price)]];
    if (cash != null) facts.push([t('balance'), wonText(cash)]);
    if (cash != null && cash >= price) facts.push([t('balanceAfter'), wonText(cash - price)]);
    const rows = facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)));
    return confirm({
      title: before == null ? t('buyTitle', { what }) : t('priceChangedTitle', { what }),
      text,
      more: [element('dl', { class: 'facts dialog-facts' }, ...rows)],
      yes: t('payNow', { price: wonText(price) }),
      look: 'main',
    });
  }
}

/** Whether the request may have been done, although its response is missing. */
export function isUncertain(error) {
  return !(error instanceof ApiError) || error.status >= SERVER_ERROR || error.code === STILL_RUNS;
}

/** The text for a purchase that was not confirmed by the server. */
export function describePurchase(error, wallet, price) {
  if (isUncertain(error)) return `${describe(error)} ${t('buyUncertain')}`;
  if (error.code === 4004 && wallet.cash != null && wallet.cash < price) {
    return t('cashShortBy', { short: wonText(price - wallet.cash) });
  }
  if (error.code === 4007 && wallet.left != null) return t('limitReached', { left: dataText(wallet.left) });
  return describe(error);
}
