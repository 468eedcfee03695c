// View of the scrap finder: the amount, a bar for each combination with the parts of its sellers, and beside them what
// the greedy choice of the first site would cost.

import { balanceLink } from './balance.js';
import { byId, element, icon } from './dom.js';
import { note } from './dialog.js';
import { describe } from './errors.js';
import { dataText, numberText, wonText } from './format.js';
import { t } from './i18n.js';
import { amountOf } from './market-view.js';
import { MONTH_MAX, round } from './mine.js';
import { describePurchase } from './purchase.js';
import { marketHref, scrapHref } from './route.js';
import { AMOUNT_FIRST } from './scrap.js';

const STEP = 0.1;

/** Colours of the parts of a bar, in turns. */
const COLOURS = 8;

export class ScrapView {
  constructor(scrap, purchases) {
    this.scrap = scrap;
    this.purchases = purchases;
    this.build();
    scrap.addEventListener('change', () => this.render());
    purchases.wallet.addEventListener('change', () => this.renderEnd());
    this.render();
  }

  /** The parts that stay while the amount is moved: the slider keeps the focus. */
  build() {
    const back = element('a', { class: 'icon-button back', href: marketHref('data'), 'aria-label': t('toList') }, icon('back'));
    const title = element('h2', { tabindex: -1 }, t('scrap'));
    const head = element('header', { class: 'pane-head' }, back, title, balanceLink(this.purchases.wallet));
    this.shown = element('output', { class: 'buy-shown', for: 'scrap-amount' });
    this.slider = element('input', { type: 'range', id: 'scrap-amount', class: 'range', min: STEP, max: MONTH_MAX, step: STEP, 'aria-label': t('scrapAmount') });
    this.slider.oninput = () => {
      const amount = round(Number(this.slider.value));
      // Replaced, not added: the way back leads out of the finder.
      history.replaceState(null, '', scrapHref({ amount }));
      this.scrap.show(amount);
    };
    this.hint = element('p', { class: 'field-hint buy-hint', id: 'scrap-hint', 'aria-live': 'polite' });
    const choice = element('section', { class: 'scrap-amount' }, element('p', { class: 'field-hint' }, t('scrapText')), this.shown, this.slider, this.hint);
    this.answers = element('div', { class: 'scrap-answers', 'aria-live': 'polite' });
    this.end = element('div', { class: 'offer-actions' });
    byId('scrap').replaceChildren(head, element('div', { class: 'offer-body' }, choice, this.answers), this.end);
  }

  render() {
    const { scrap } = this;
    const amount = scrap.amount ?? AMOUNT_FIRST;
    if (Number(this.slider.value) !== amount) this.slider.value = amount;
    this.slider.setAttribute('aria-valuetext', dataText(amount));
    this.shown.replaceChildren(amountOf(amount, 'buy-number'));
    const focused = document.activeElement?.matches('#scrap input[type="radio"]');
    this.answers.setAttribute('aria-busy', String(Boolean(scrap.loading)));
    // While the next amount is looked up the last answer stays, dimmed: nothing jumps.
    if (!scrap.loading || this.answers.childElementCount === 0) this.answers.replaceChildren(...this.content());
    if (focused) this.answers.querySelector('input:checked')?.focus();
    this.renderEnd();
  }

  content() {
    const { scrap } = this;
    if (scrap.problem) {
      const again = element('button', { type: 'button', class: 'action', onclick: () => scrap.load() }, t('tryAgain'));
      return [element('div', { class: 'offer-note', role: 'alert' }, element('p', {}, describe(scrap.problem)), again)];
    }
    if (scrap.isOver) return [element('p', { class: 'offer-note', role: 'status' }, t('limitReached', { left: dataText(this.purchases.wallet.left) }))];
    if (!scrap.quote) return [element('p', { class: 'offer-note', role: 'status' }, t('loading'))];
    if (scrap.combinations.length === 0) return [this.nothing()];
    const greedy = scrap.quote.greedy ?? null;
    const most = Math.max(greedy?.totalPrice ?? 0, ...scrap.combinations.map((one) => one.totalPrice));
    this.colours = coloursOf([...scrap.combinations, ...(greedy ? [greedy] : [])]);
    const bars = scrap.combinations.map((one, index) => this.bar(one, index, most, greedy));
    return [
      element('div', { class: 'scrap-bars' }, greedyBar(greedy, most, this.colours), element('fieldset', { class: 'scrap-choice' }, element('legend', {}, t('scrapChoose')), ...bars)),
      this.parts(scrap.combinations[scrap.chosen]),
    ];
  }

  /** Nothing adds up to this amount: the nearest that does. */
  nothing() {
    const { nearestBelow, nearestAbove } = this.scrap.quote;
    const ways = [nearestBelow, nearestAbove]
      .filter((amount) => amount != null)
      .map((amount) => element('a', { class: 'button', href: scrapHref({ amount }) }, t('scrapTry', { amount: dataText(amount) })));
    return element('div', { class: 'offer-note', role: 'status' }, element('p', {}, t('scrapNone')), element('div', { class: 'scrap-near' }, ...ways));
  }

  /** One combination: its length is its price, and its parts are those of the sellers. */
  bar(one, index, most, greedy) {
    const { scrap } = this;
    const input = element('input', { type: 'radio', name: 'scrap', value: index, checked: index === scrap.chosen, class: 'scrap-radio', onchange: () => scrap.choose(index) });
    const saved = greedy == null ? 0 : greedy.totalPrice - one.totalPrice;
    const difference = saved > 0 ? element('span', { class: 'tag open-tag' }, t('scrapSaves', { saved: wonText(saved) })) : null;
    return element(
      'label',
      { class: 'scrap-row', 'data-scrap': index },
      input,
      element('span', { class: 'scrap-head' }, element('strong', { class: 'scrap-price' }, wonText(one.totalPrice)), element('span', { class: 'scrap-count' }, t('scrapSellers', { count: one.combinations.length })), difference),
      ...track(one, most, this.colours),
    );
  }

  /** The offers of the chosen combination. */
  parts(one) {
    const rows = one.combinations.map((row) =>
      element(
        'li',
        { class: 'scrap-seller' },
        element('span', { class: `scrap-dot colour-${this.colours.get(row.productId)}`, 'aria-hidden': 'true' }),
        element('a', { href: marketHref('data', row.productId) }, row.memberName),
        element('span', {}, dataText(row.purchaseAmount)),
        element('strong', {}, wonText(row.purchasePrice)),
      ),
    );
    return element('section', { class: 'scrap-sellers', 'aria-label': t('scrapParts') }, element('ul', {}, ...rows));
  }

  renderEnd() {
    const { scrap } = this;
    const { wallet } = this.purchases;
    const before = byId('scrap-buy');
    const one = scrap.combinations[scrap.chosen];
    const isOver = wallet.left != null && scrap.amount > wallet.left;
    this.hint.textContent = wallet.left == null ? '' : t(isOver ? 'limitReached' : 'buyLimitLeft', { left: dataText(wallet.left) });
    this.hint.classList.toggle('over', isOver);
    if (scrap.loading && before && !scrap.outcome) {
      before.disabled = true;
      return;
    }
    const outcome = element('div', { class: 'buy-outcome', 'aria-live': 'assertive' });
    if (scrap.outcome?.problem) outcome.append(element('p', { class: 'problem' }, scrap.outcome.problem));
    if (scrap.outcome?.bought) {
      outcome.append(element('p', { class: 'bought' }, icon('check'), element('span', {}, scrap.outcome.bought), element('a', { class: 'action', href: '#/trades' }, t('toPurchases'))));
    }
    const hadFocus = before != null && document.activeElement === before;
    const button = one ? element('button', { type: 'button', class: 'button main', id: 'scrap-buy', 'aria-describedby': 'scrap-hint', disabled: scrap.loading, onclick: () => this.buy(one, button) }, t('buyFor', { price: wonText(one.totalPrice) })) : null;
    this.end.replaceChildren(...[outcome, button].filter(Boolean));
    if (hadFocus) button?.focus();
  }

  async buy(one, button) {
    const { scrap } = this;
    button.disabled = true;
    const what = t('scrapWhat', { amount: dataText(one.totalAmount), count: one.combinations.length });
    const { totalAmount, combinations } = one;
    try {
      const order = (totalPrice) => ({ totalAmount, totalPrice, combinations });
      const bought = await this.purchases.buy({ what, price: one.totalPrice, path: 'mobile-data/scrap', order, isQuoted: true });
      if (bought) {
        scrap.outcome = { bought: t('boughtWhat', { what }) };
        if (!scrap.isShown) note(scrap.outcome.bought);
        scrap.forget();
        await scrap.load();
        return;
      }
    } catch (error) {
      scrap.outcome = { problem: this.problemOf(error, one) };
      // An offer was sold or its price changed: the refusal contains a new quote.
      if (error.data?.combinations) {
        scrap.take(error.data);
        return;
      }
    }
    this.renderEnd();
  }

  problemOf(error, one) {
    const now = error.data?.totalPrice;
    if (!error.data?.combinations) return describePurchase(error, this.purchases.wallet, one.totalPrice);
    return now > 0 ? t('scrapChanged', { before: wonText(one.totalPrice), now: wonText(now) }) : t('scrapGone');
  }
}

function partText(row) {
  return t('scrapPart', { name: row.memberName, amount: dataText(row.purchaseAmount), price: wonText(row.purchasePrice) });
}

/** The colour of each offer, the same in all combinations. */
function coloursOf(combinations) {
  const ids = new Set(combinations.flatMap((one) => one.combinations.map((row) => row.productId)));
  return new Map([...ids].map((id, nth) => [id, nth % COLOURS]));
}

/** A bar, as long as its price is beside the dearest, with the part of each seller; and the same as a text. */
function track(one, most, colours, className = '') {
  const parts = one.combinations.map((row) => {
    const label = element('span', { class: 'scrap-label' }, numberText(row.purchaseAmount));
    const part = element('span', { class: `scrap-part colour-${colours.get(row.productId)}`, title: partText(row) }, label);
    part.style.flexGrow = row.purchasePrice;
    return part;
  });
  const bar = element('span', { class: `scrap-bar ${className}`, 'aria-hidden': 'true' }, ...parts);
  bar.style.width = `${(100 * one.totalPrice) / most}%`;
  return [element('span', { class: 'scrap-track' }, bar), element('span', { class: 'hidden' }, one.combinations.map(partText).join(', '))];
}

/** What the first site would have chosen. */
function greedyBar(greedy, most, colours) {
  const text = greedy ? wonText(greedy.totalPrice) : t('scrapGreedyNone');
  const head = element('span', { class: 'scrap-head' }, element('span', {}, t('scrapGreedy')), element('strong', { class: 'scrap-price' }, text));
  return element('div', { class: 'scrap-row scrap-greedy' }, head, ...(greedy ? track(greedy, most, colours, 'greedy') : []));
}
