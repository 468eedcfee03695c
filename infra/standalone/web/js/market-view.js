// The list of offers: which kind, in which order, what is left out; it goes on as one scrolls.

import { byId, element, icon, reconcile } from './dom.js';
import { KINDS, PLACES, dataText, distanceText, hoursText, wonText } from './market.js';

/** The next page is asked for so long before the end is in sight. */
const AHEAD = '600px';

const KIND_TEXTS = { data: '모바일 데이터', wifi: '와이파이' };

/** Tenths of a gigabyte that an offer can have. */
const UNITS_MAX = 20;

export class MarketView {
  constructor(market) {
    this.market = market;
    byId('kinds').replaceChildren(...Object.keys(KINDS).map((kind) => this.tab(kind)));
    this.end = element('li', { class: 'list-end' });
    const list = byId('offers');
    // Watched anew after each page: an end that stays in sight is told of only once.
    this.watch = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && !market.problem && market.more(), {
      root: list,
      rootMargin: `0px 0px ${AHEAD} 0px`,
    });
    market.addEventListener('change', ({ detail }) => {
      if (detail === 'restart') {
        list.scrollTop = 0;
        this.renderChoices();
      }
      this.render();
    });
  }

  tab(kind) {
    return element('a', { class: 'kind', href: `#/market/${kind}`, 'data-kind': kind }, icon(kind), KIND_TEXTS[kind]);
  }

  renderChoices() {
    const { market } = this;
    for (const tab of byId('kinds').children) {
      tab.setAttribute('aria-current', String(tab.dataset.kind === market.kind));
    }
    const sorts = Object.entries(KINDS[market.kind].sorts);
    const sort = this.select('sort', '정렬', sorts, market.choice.sort);
    byId('choices').replaceChildren(...(market.kind === 'data' ? [this.amount(), sort] : [this.place(), sort, this.openNow()]));
  }

  amount() {
    const amounts = Array.from({ length: UNITS_MAX }, (_, index) => String((index + 1) / 10));
    const options = [['', '용량 전체'], ...amounts.map((amount) => [amount, dataText(amount)])];
    return this.select('amount', '용량', options, this.market.choice.amount);
  }

  place() {
    const options = PLACES.map(([name], index) => [String(index), name]);
    return this.select('place', '내 위치', options, String(this.market.choice.place));
  }

  openNow() {
    const { open } = this.market.choice;
    const choose = () => {
      this.market.choose({ open: !open });
      byId('open-now').focus();
    };
    return element(
      'button',
      { type: 'button', id: 'open-now', class: 'filter', 'aria-pressed': String(open), onclick: choose },
      '영업 중',
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
          this.market.choose({ [name]: name === 'place' ? Number(select.value) : select.value });
          byId(`choice-${name}`).focus();
        },
      },
      ...options.map(([value, text]) => element('option', { value, selected: value === chosen }, text)),
    );
    return select;
  }

  render() {
    const { market } = this;
    const rows = [...market.rows.values()].map((row) => this.row(row));
    const text = this.endText();
    this.end.replaceChildren(...(market.problem ? [text, this.again()] : [text]));
    rows.push({ key: 'end', version: '', make: () => this.end });
    reconcile(byId('offers'), rows);
    byId('offers').setAttribute('aria-busy', String(market.loading != null));
    this.watch.disconnect();
    if (market.complete === false && !market.isFull) this.watch.observe(this.end);
  }

  endText() {
    const { complete, isFull, problem, rows } = this.market;
    if (problem) return '불러오지 못했어요.';
    if (isFull) return '상품이 아주 많아요. 조건을 골라 좁혀 보세요.';
    if (!complete) return '불러오는 중…';
    return rows.size > 0 ? `상품 ${rows.size}개를 모두 보았어요.` : '조건에 맞는 상품이 없어요.';
  }

  again() {
    return element('button', { type: 'button', class: 'action', onclick: () => this.market.more() }, '다시 시도');
  }

  row(row) {
    const { kind, offer } = this.market;
    const isOpen = offer?.kind === kind && offer.productId === row.productId;
    const make = () => {
      const parts = kind === 'data' ? dataRow(row) : wifiRow(row);
      const href = `#/market/${kind}/${row.productId}`;
      const current = isOpen ? 'page' : null;
      return element('li', {}, element('a', { class: 'room', href, 'aria-current': current, 'data-offer': row.productId }, ...parts));
    };
    return { key: `${kind}-${row.productId}`, version: JSON.stringify([row, isOpen]), make };
  }
}

function dataRow(row) {
  const how = row.splitType ? element('span', { class: 'tag' }, '나눠 사기') : null;
  return [
    picture('data'),
    middle([element('strong', {}, dataText(row.remainAmount)), how], row.memberName),
    end(wonText(row.price), `100MB당 ${wonText(row.pricePer100MB)}`),
  ];
}

function wifiRow(row) {
  const state = element('span', { class: row.open ? 'tag open-tag' : 'tag closed-tag' }, row.open ? '영업 중' : '준비 중');
  const where = `${distanceText(row.distanceKm)} · ${hoursText(row.startTime, row.endTime)} · ${row.memberName}`;
  return [
    picture('wifi'),
    middle([element('strong', {}, row.title), state], where),
    end(wonText(row.price), '10분당'),
  ];
}

/** Of the kind: the list names sellers without their numbers, which choose their colours elsewhere. */
function picture(kind) {
  return element('span', { class: 'avatar group', 'aria-hidden': 'true' }, icon(kind));
}

function middle(title, below) {
  return element(
    'span',
    { class: 'room-middle' },
    element('span', { class: 'room-title' }, ...title),
    element('span', { class: 'room-last' }, below),
  );
}

function end(price, below) {
  return element(
    'span',
    { class: 'offer-end' },
    element('span', { class: 'offer-price' }, price),
    element('span', { class: 'offer-unit' }, below),
  );
}
