// Header of the open room: the offer that the room is about, with amount or title, price, and a link.

import { byId, element, icon, picture } from './dom.js';
import { dataText, hoursText, wonText } from './format.js';
import { t } from './i18n.js';
import { KINDS, kindOf } from './market.js';
import { marketHref } from './route.js';

/** Cached details are shown at once; they are fetched again when the room is opened later than this. */
const AGE_MAX_MS = 60_000;

/** Error codes of an offer that is deleted, unknown, or of another kind. */
const GONE = [3002, 3003, 3009, 3010];

export class About {
  constructor(chat) {
    this.chat = chat;
    /** By product: `{detail, gone, at}`. */
    this.known = new Map();
  }

  /** Shows the offer of `room`. */
  show(room) {
    const strip = byId('about');
    strip.hidden = room.productId == null;
    if (strip.hidden) return;
    const known = this.known.get(room.productId);
    const version = JSON.stringify([room.productId, known?.detail, known?.gone]);
    if (strip.version !== version) {
      strip.version = version;
      strip.replaceChildren(this.link(room, known));
    }
    if (!known || (!known.loading && Date.now() - known.at > AGE_MAX_MS)) this.load(room);
  }

  async load(room) {
    const kind = kindOf(room.itemType);
    const entry = this.known.get(room.productId) ?? { detail: null, gone: false, at: 0 };
    if (!kind) return;
    this.known.set(room.productId, entry);
    entry.loading = true;
    try {
      entry.detail = await this.chat.api.offer(KINDS[kind].path, room.productId);
      entry.gone = false;
    } catch (error) {
      // After an error the offer is fetched again when the room is next shown.
      entry.gone = GONE.includes(error.code);
    }
    entry.loading = false;
    entry.at = Date.now();
    this.chat.changed('messages');
  }

  link(room, known) {
    const kind = kindOf(room.itemType) ?? 'data';
    const detail = known?.detail;
    const image = detail?.imageUrls?.[0];
    const emblem = image ? picture(image, '', 'about-picture') : element('span', { class: `mine-icon ${kind}` }, icon(kind === 'data' ? 'data' : 'wifi'));
    const [title, price, state] = texts(room, kind, known);
    return element(
      'a',
      { class: 'about-link', href: marketHref(kind, room.productId) },
      emblem,
      element('span', { class: 'about-texts' }, element('strong', { class: 'about-title' }, title), price ? element('span', { class: 'about-price' }, price) : null),
      state ? element('span', { class: 'tag closed-tag' }, state) : null,
      element('span', { class: 'about-open' }, t('showOffer'), icon('next')),
    );
  }
}

/** Title, price and state of the offer. */
function texts(room, kind, known) {
  const name = t({ data: 'kindData', wifi: 'kindWifi', hotspot: 'kindHotspot' }[kind]);
  if (known?.gone) return [name, known.detail ? priceOf(kind, known.detail) : '', t('noLongerOffered')];
  const detail = known?.detail;
  if (!detail) return [name, room.hours ?? '', null];
  const soldOut = detail.productState === 'SOLD_OUT';
  if (kind === 'data') {
    const title = soldOut ? name : `${name} ${dataText(detail.remainAmount)}`;
    return [title, soldOut ? '' : priceOf(kind, detail), soldOut ? t('soldOut') : null];
  }
  return [detail.title, `${priceOf(kind, detail)} · ${hoursText(detail.startTime, detail.endTime)}`, null];
}

function priceOf(kind, detail) {
  if (kind !== 'data') return t('per10Minutes', { price: wonText(detail.price) });
  const unit = t('unitPrice', { price: wonText(detail.pricePer100MB) });
  return `${wonText(detail.price)} · ${unit}`;
}
