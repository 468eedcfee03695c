// View of an offer: details, seller, what to buy of it, and the buttons to buy and to ask.

import { balanceLink } from './balance.js';
import { buyForm } from './buy-form.js';
import { note } from './dialog.js';
import { avatar, byId, element, icon, picture } from './dom.js';
import { describe } from './errors.js';
import { dataText, distanceKm, distanceText, hoursText, wonText } from './format.js';
import { t } from './i18n.js';
import { amountOf, openTag } from './market-view.js';
import { kindOf } from './market.js';
import { describePurchase, isUncertain } from './purchase.js';
import { reportButton } from './report-form.js';
import { marketHref, memberHref } from './route.js';
import { dateText, shortText } from './time.js';

const KIND_TEXTS = { data: 'kindData', wifi: 'kindWifi', hotspot: 'kindHotspot' };

export class OfferView {
  /** `ask(productId)` opens the conversation with the seller. */
  constructor(market, chat, purchases, people, { ask }) {
    this.market = market;
    this.people = people;
    this.chat = chat;
    this.purchases = purchases;
    this.ask = ask;
    /** Shows anew what the order comes to; none for an offer that cannot be bought. */
    this.showOrder = () => {};
    purchases.wallet.addEventListener('change', () => this.showOrder());
    market.addEventListener('change', ({ detail }) => {
      // A distance is one from the chosen place.
      if (detail === 'offer' || detail === 'restart') this.render();
    });
    // Links to a conversation that has begun meanwhile.
    chat.addEventListener('change', ({ detail }) => detail === 'rooms' && this.roomsOf() !== this.shownRooms && this.render());
    this.render();
  }

  /** The rooms about the open offer, as a text to compare. */
  roomsOf() {
    return this.rooms().map((room) => room.id).join();
  }

  rooms() {
    const productId = this.market.offer?.productId;
    return productId == null ? [] : this.chat.rooms.list().filter((one) => one.productId === productId);
  }

  render() {
    this.shownRooms = this.roomsOf();
    byId('offer').replaceChildren(...this.content());
  }

  content() {
    const { offer, choice } = this.market;
    if (!offer) {
      const emblem = element('img', { src: '/icon.svg', alt: '', width: 72, height: 72 });
      return [element('div', { class: 'nothing' }, emblem, element('p', {}, t('chooseOffer')))];
    }
    const { kind, detail, problem } = offer;
    const back = element('a', { class: 'icon-button back', href: marketHref(kind, null, choice), 'aria-label': t('toList') }, icon('back'));
    const title = element('h2', { tabindex: -1 }, t(KIND_TEXTS[kind]));
    const head = element('header', { class: 'pane-head' }, back, title, balanceLink(this.purchases.wallet));
    this.showOrder = () => {};
    if (problem && !detail) return [head, this.gone(problem)];
    if (!detail) return [head, element('p', { class: 'offer-note', role: 'status' }, t('loading'))];
    const parts = kind === 'data' ? dataParts(detail) : this.spotParts(detail);
    const body = element('div', { class: 'offer-body' }, ...parts, this.seller(), this.others(), this.report());
    return [head, body, this.actions()];
  }

  gone(problem) {
    const { kind } = this.market.offer;
    const back = element('a', { class: 'button', href: marketHref(kind) }, t('otherOffers'));
    return element('div', { class: 'offer-note', role: 'alert' }, element('p', {}, describe(problem)), back);
  }

  spotParts(detail) {
    const { place } = this.market;
    const images = detail.imageUrls.map((url, index) => picture(url, t('pictureOf', { title: detail.title, nth: index + 1 }), 'offer-picture'));
    const distance = distanceText(distanceKm(place, detail));
    return [
      images.length > 0 ? element('div', { class: 'offer-pictures', tabindex: 0, role: 'group', 'aria-label': t('pictures') }, ...images) : null,
      element(
        'div',
        { class: 'hero' },
        element('div', { class: 'hero-tags' }, openTag(detail), mineTag(detail)),
        element('h3', {}, detail.title),
        element('p', { class: 'hero-price' }, t('per10Minutes', { price: wonText(detail.price) })),
        detail.content ? element('p', { class: 'hero-text' }, detail.content) : null,
      ),
      facts([
        [t('factHours'), hoursText(detail.startTime, detail.endTime)],
        [t('factAddress'), detail.address || '–'],
        [t('factDistance'), t('distanceFrom', { place: t(place.name), distance })],
        [t('factUpdated'), shortText(detail.updatedAt)],
      ]),
    ];
  }

  seller() {
    const { detail, seller } = this.market.offer;
    const stars = detail.averageRate?.toFixed(1);
    const rating = detail.reviewCount > 0 ? t('rating', { stars, count: detail.reviewCount }) : t('noReviews');
    const joined = seller ? t('joined', { date: dateText(seller.joinedAt) }) : null;
    return element(
      'section',
      { 'aria-label': t('seller') },
      element(
        'a',
        { class: 'seller', href: memberHref(detail.memberId) },
        avatar(detail.memberName, '', detail.profileImageUrl),
        element(
          'span',
          { class: 'headings' },
          element('span', { class: 'seller-name' }, element('strong', {}, detail.memberName)),
          element('span', { class: 'seller-facts' }, [rating, joined].filter(Boolean).join(' · ')),
        ),
        icon('next'),
      ),
    );
  }

  /** Other offers of this seller. */
  others() {
    const { detail, others } = this.market.offer;
    if (!others || others.length === 0) return null;
    const rows = others.map((row) => {
      const kind = kindOf(row.type) ?? 'wifi';
      const title = row.type === 'MOBILE_DATA' ? dataText(row.remainAmount) : row.title;
      const link = element('a', { class: 'other', href: marketHref(kind, row.productId) }, icon(kind === 'data' ? 'data' : 'wifi'), element('span', {}, title));
      return element('li', {}, link);
    });
    return element(
      'section',
      { class: 'others', 'aria-label': t('othersOf', { name: detail.memberName }) },
      element('h4', {}, t('othersOf', { name: detail.memberName })),
      element('ul', { class: 'other-list' }, ...rows),
    );
  }

  report() {
    const { detail, productId } = this.market.offer;
    if (detail.myProduct) return null;
    const text = detail.title ?? `${t(KIND_TEXTS.data)} ${dataText(detail.remainAmount)}`;
    return element('div', { class: 'offer-report' }, reportButton(this.people, { category: 'PRODUCT', targetId: productId, text }));
  }

  /** Asking the seller; on own offers the conversations about them, and changing them. */
  actions() {
    const { kind, productId, detail } = this.market.offer;
    const rooms = this.rooms();
    if (detail.myProduct) {
      const links = rooms.map((room) =>
        element('a', { class: 'button', href: `#/room/${room.id}` }, icon('chat'), t('talkWith', { name: room.otherName })),
      );
      const edit = detail.productState === 'SOLD_OUT' ? null : element('a', { class: 'button main edit-offer', href: `#/mine/edit/${kind}/${productId}` }, icon('edit'), t('edit'));
      return element('div', { class: 'offer-actions' }, ...links, edit);
    }
    const problem = element('p', { class: 'problem', role: 'alert' });
    const look = detail.productState === 'SOLD_OUT' ? 'button main ask-seller' : 'button ask-seller';
    const ask = async () => {
      button.disabled = true;
      problem.textContent = '';
      try {
        await this.ask(productId);
      } catch (error) {
        problem.textContent = describe(error);
      } finally {
        button.disabled = false;
      }
    };
    const button =
      rooms.length > 0
        ? element('a', { class: look, href: `#/room/${rooms[0].id}` }, icon('chat'), t('openTalk'))
        : element('button', { type: 'button', class: look, onclick: ask }, icon('chat'), t('askSeller'));
    const [choice, buy] = this.buying();
    return element('div', { class: 'offer-actions' }, choice, problem, element('div', { class: 'offer-buttons' }, button, buy));
  }

  /** What to buy of this offer, with what came of it last, and the button. */
  buying() {
    const { offer } = this.market;
    const { wallet } = this.purchases;
    const outcome = outcomeOf(offer.outcome);
    if (offer.detail.productState === 'SOLD_OUT') return [element('section', { class: 'buy', 'aria-label': t('buy') }, outcome), null];
    const form = buyForm(offer, () => {
      offer.outcome = null;
      outcome.replaceChildren();
      this.showOrder();
    });
    if (!form) return [null, null];
    const hint = element('p', { class: 'field-hint buy-hint', id: 'buy-hint', 'aria-live': 'polite' });
    const button = element('button', { type: 'button', class: 'button main', id: 'buy', 'aria-describedby': 'buy-hint' });
    button.onclick = () => this.buy(offer, form, button);
    this.showOrder = () => {
      button.textContent = t('buyFor', { price: wonText(form.price()) });
      const [text, isOver] = hintOf(wallet, form, offer.kind);
      // What was refused is said below.
      hint.textContent = offer.outcome?.problem ? '' : text;
      hint.classList.toggle('over', isOver);
    };
    this.showOrder();
    return [element('section', { class: 'buy', 'aria-label': t('buy') }, form.node, hint, outcome), button];
  }

  async buy(offer, form, button) {
    button.disabled = true;
    offer.outcome = null;
    const what = form.what();
    try {
      const order = form.order();
      const bought = await this.purchases.buy({ what, price: form.price(), path: form.path, order: (price) => ({ ...order, price }) });
      form.settle();
      if (bought) offer.outcome = { bought: t('boughtWhat', { what }) };
    } catch (error) {
      if (!isUncertain(error)) form.settle();
      offer.outcome = { problem: describePurchase(error, this.purchases.wallet, form.price()) };
    }
    if (offer !== this.market.offer) {
      // Another offer is shown meanwhile.
      if (offer.outcome) note(offer.outcome.bought ?? offer.outcome.problem);
      return;
    }
    this.render();
    byId('offer').querySelector(offer.outcome?.bought ? '.bought a' : '#buy, .ask-seller')?.focus();
  }
}

/** What came of the last purchase of this offer. */
function outcomeOf(outcome) {
  const line = element('div', { class: 'buy-outcome', 'aria-live': 'assertive' });
  if (outcome?.problem) line.append(element('p', { class: 'problem' }, outcome.problem));
  if (outcome?.bought) {
    line.append(element('p', { class: 'bought' }, icon('check'), element('span', {}, outcome.bought), element('a', { class: 'action', href: '#/trades' }, t('toPurchases'))));
  }
  return line;
}

/** What the order means for balance and limit, and whether it is beyond one of them. */
function hintOf(wallet, form, kind) {
  const { cash, left } = wallet;
  if (kind === 'data' && left != null && form.amount() > left) return [t('limitReached', { left: dataText(left) }), true];
  if (cash != null && form.price() > cash) return [t('cashShortBy', { short: wonText(form.price() - cash) }), true];
  if (kind === 'data') return [left == null ? '' : t('buyLimitLeft', { left: dataText(left) }), false];
  return [t('bookingHint'), false];
}

function mineTag({ myProduct }) {
  return myProduct ? element('span', { class: 'tag' }, t('mineTag')) : null;
}

function dataParts(detail) {
  const state = detail.productState === 'SOLD_OUT' ? element('span', { class: 'tag closed-tag' }, t('soldOut')) : null;
  const split = detail.splitType ? element('span', { class: 'tag' }, t('split')) : null;
  return [
    element(
      'div',
      { class: 'hero' },
      element('div', { class: 'hero-tags' }, state, split, mineTag(detail)),
      element('h3', {}, amountOf(detail.remainAmount, 'hero-amount')),
      element('p', { class: 'hero-price' }, wonText(detail.price)),
    ),
    facts([
      [t('factUnitPrice'), wonText(detail.pricePer100MB)],
      [t('factHow'), detail.splitType ? t('howSplit') : t('howWhole')],
      [t('factUpdated'), shortText(detail.updatedAt)],
      [t('factUntil'), t('untilMonthEnd')],
    ]),
  ];
}

function facts(pairs) {
  const rows = pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)));
  return element('dl', { class: 'facts' }, ...rows);
}
