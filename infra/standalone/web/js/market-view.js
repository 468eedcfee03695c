// View of the list of offers: kind, sort order, filters, and infinite scrolling.

import { avatar, byId, element, icon, picture, reconcile, skeletons } from './dom.js';
import { describe } from './errors.js';
import { dataText, distanceText, numberText, openText, wonText } from './format.js';
import { t } from './i18n.js';
import { KINDS, PLACES, UNITS_MAX } from './market.js';
import { marketHref } from './route.js';
import { shortText } from './time.js';

/** The next page is requested at this distance from the end of the list. */
const AHEAD = '600px';

/** Placeholder tiles of the first page. */
const SKELETONS = 8;

const TABS = { data: 'kindData', wifi: 'kindWifi', hotspot: 'kindHotspot' };

export class MarketView {
  constructor(market) {
    this.market = market;
    byId('kinds').replaceChildren(...Object.keys(TABS).map((kind) => this.tab(kind)));
    byId('to-scrap').append(icon('mix'), element('span', {}, t('toScrap')), icon('next'));
    this.end = element('li', { class: 'list-end', role: 'status' });
    const list = byId('offers');
    // Watched anew after each page: an end that stays in sight is reported only once. A busy browser reports several
    // frames at once; the last one is where the list is now.
    const report = (frames) => frames.at(-1).isIntersecting && !market.problem && market.more();
    this.watch = new IntersectionObserver(report, { root: list, rootMargin: `0px 0px ${AHEAD} 0px` });
    market.addEventListener('change', ({ detail }) => {
      if (detail === 'restart') {
        list.scrollTop = 0;
        this.renderChoices();
      }
      this.render();
    });
  }

  tab(kind) {
    return element('a', { class: 'kind', href: marketHref(kind), 'data-kind': kind }, icon(kind), t(TABS[kind]));
  }

  renderChoices() {
    const { market } = this;
    for (const tab of byId('kinds').children) {
      tab.setAttribute('aria-current', String(tab.dataset.kind === market.kind));
    }
    byId('to-scrap').hidden = market.kind !== 'data';
    const sorts = Object.entries(KINDS[market.kind].sorts).map(([value, text]) => [value, t(text)]);
    const sort = this.select('sort', t('sortLabel'), sorts, market.sort);
    byId('choices').replaceChildren(...(market.kind === 'data' ? [this.amount(), sort] : [this.place(), sort, this.openNow()]));
  }

  /** Puts the choice into the address, which the list follows. */
  choose(name, value) {
    const { kind, choice } = this.market;
    location.hash = marketHref(kind, null, { ...choice, [name]: value });
  }

  amount() {
    const amounts = Array.from({ length: UNITS_MAX }, (_, index) => String((index + 1) / 10));
    const options = [['', t('amountAll')], ...amounts.map((amount) => [amount, dataText(Number(amount))])];
    return this.select('amount', t('amountLabel'), options, this.market.choice.amount ?? '');
  }

  place() {
    const options = PLACES.map(({ name }, index) => [index === 0 ? '' : String(index), t(name)]);
    return this.select('place', t('placeLabel'), options, this.market.choice.place ?? '');
  }

  openNow() {
    const open = Boolean(this.market.choice.open);
    const choose = () => {
      this.choose('open', open ? '' : '1');
      this.refocus = 'open-now';
    };
    return element(
      'button',
      { type: 'button', id: 'open-now', class: 'filter', 'aria-pressed': String(open), onclick: choose },
      t('openNow'),
    );
  }

  select(name, label, options, chosen) {
    const select = element(
      'select',
      {
        id: `choice-${name}`,
        class: 'choice',
        'aria-label': label,
        onchange: () => {
          this.refocus = select.id;
          this.choose(name, select.value);
        },
      },
      ...options.map(([value, text]) => element('option', { value, selected: value === chosen }, text)),
    );
    return select;
  }

  render() {
    const { market } = this;
    if (this.refocus) byId(this.refocus)?.focus();
    this.refocus = null;
    const isFirst = market.complete === null && !market.problem;
    const rows = [...market.rows.values()].map((row) => this.row(row));
    const placeholders = isFirst ? skeletons(SKELETONS, 'tile') : [];
    placeholders.forEach((node, index) => rows.push({ key: `skeleton-${index}`, version: '', make: () => node }));
    const text = this.endText();
    this.end.replaceChildren(...[text, this.way()].filter(Boolean));
    rows.push({ key: 'end', version: '', make: () => this.end });
    const list = byId('offers');
    reconcile(list, rows);
    list.classList.toggle('spots', market.kind !== 'data');
    list.setAttribute('aria-busy', String(market.loading != null));
    this.watch.disconnect();
    if (market.complete === false && !market.isFull) this.watch.observe(this.end);
  }

  endText() {
    const { complete, isFull, problem, rows } = this.market;
    if (problem) return describe(problem);
    if (isFull) return t('listFull');
    if (!complete) return t('loading');
    return rows.size > 0 ? t('listEnd', { count: rows.size }) : t('listNone');
  }

  /** The end of a list: empty, complete, or too long. */
  way() {
    const { kind, choice, complete, problem, rows } = this.market;
    const hasFilters = Boolean(choice.amount || choice.open);
    if (!problem && complete && rows.size === 0 && hasFilters) {
      const href = marketHref(kind, null, { ...choice, amount: '', open: '' });
      return element('a', { class: 'button', id: 'clear-filters', href }, t('clearFilters'));
    }
    if (!problem) return null;
    return element('button', { type: 'button', class: 'action', onclick: () => this.market.more() }, t('tryAgain'));
  }

  row(row) {
    const { kind, offer, choice } = this.market;
    const isOpen = offer?.kind === kind && offer.productId === row.productId;
    const href = marketHref(kind, row.productId, choice);
    const make = () => {
      const parts = kind === 'data' ? dataTile(row) : spotTile(row);
      const attributes = { class: 'tile', href, 'aria-current': isOpen ? 'true' : null, 'data-offer': row.productId };
      return element('li', {}, element('a', attributes, ...parts));
    };
    return { key: `${kind}-${row.productId}`, version: JSON.stringify([row, isOpen, href]), make };
  }
}

/** 0.5 GB, the number large. */
export function amountOf(gigabytes, className) {
  const number = element('span', { class: 'amount-number' }, numberText(gigabytes));
  return element('strong', { class: `amount ${className}` }, number, element('span', { class: 'amount-unit' }, 'GB'));
}

/** Whether a spot is open, and until or from when. */
export function openTag(spot) {
  return element('span', { class: spot.open ? 'tag open-tag' : 'tag closed-tag' }, openText(spot));
}

function dataTile(row) {
  return [
    amountOf(row.remainAmount, 'tile-amount'),
    element(
      'span',
      { class: 'tile-price' },
      wonText(row.price),
      row.splitType ? element('span', { class: 'tag' }, t('split')) : null,
    ),
    element('span', { class: 'tile-unit' }, t('unitPrice', { price: wonText(row.pricePer100MB) })),
    seller(row, shortText(row.updatedAt)),
  ];
}

function spotTile(row) {
  const image = row.imageUrl ? picture(row.imageUrl, '', 'tile-picture') : null;
  return [
    element('span', { class: 'tile-top' }, openTag(row), element('span', { class: 'tile-distance' }, distanceText(row.distanceKm))),
    element(
      'span',
      { class: 'tile-spot' },
      element('span', { class: 'tile-texts' }, element('strong', { class: 'tile-title' }, row.title), element('span', { class: 'tile-unit' }, row.address)),
      image,
    ),
    element('span', { class: 'tile-price' }, t('per10Minutes', { price: wonText(row.price) })),
    seller(row, row.averageRate > 0 ? `★ ${row.averageRate.toFixed(1)}` : null),
  ];
}

function seller({ memberName, profileImageUrl }, more) {
  return element(
    'span',
    { class: 'tile-seller' },
    avatar(memberName, 'tiny', profileImageUrl),
    element('span', { class: 'tile-name' }, memberName),
    more ? element('span', { class: 'tile-more' }, more) : null,
  );
}
