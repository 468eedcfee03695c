// View of an offer: details, seller, and the button to ask.

import { avatar, byId, element, icon, picture } from './dom.js';
import { describe } from './errors.js';
import { dataText, distanceKm, distanceText, hoursText, wonText } from './format.js';
import { t } from './i18n.js';
import { amountOf, openTag } from './market-view.js';
import { kindOf } from './market.js';
import { marketHref } from './route.js';
import { dateText, shortText } from './time.js';

const KIND_TEXTS = { data: 'kindData', wifi: 'kindWifi', hotspot: 'kindHotspot' };

export class OfferView {
  /** `ask(productId)` opens the conversation with the seller. */
  constructor(market, chat, { ask }) {
    this.market = market;
    this.chat = chat;
    this.ask = ask;
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
    const head = element('header', { class: 'pane-head' }, back, title);
    if (problem && !detail) return [head, this.gone(problem)];
    if (!detail) return [head, element('p', { class: 'offer-note', role: 'status' }, t('loading'))];
    const parts = kind === 'data' ? dataParts(detail) : this.spotParts(detail);
    const body = element('div', { class: 'offer-body' }, ...parts, this.seller(), this.others());
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
      { class: 'seller', 'aria-label': t('seller') },
      avatar(detail.memberName, '', detail.profileImageUrl),
      element(
        'div',
        { class: 'headings' },
        element('p', { class: 'seller-name' }, element('strong', {}, detail.memberName)),
        element('p', { class: 'seller-facts' }, [rating, joined].filter(Boolean).join(' · ')),
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
    const known = rooms.length > 0;
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
    const button = known
      ? element('a', { class: 'button main ask-seller', href: `#/room/${rooms[0].id}` }, icon('chat'), t('openTalk'))
      : element('button', { type: 'button', class: 'button main ask-seller', onclick: ask }, icon('chat'), t('askSeller'));
    return element('div', { class: 'offer-actions' }, problem, button);
  }
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
