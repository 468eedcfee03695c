// An offer in full, and who sells it.

import { avatar, byId, element, icon } from './dom.js';
import { PLACES, dataText, distanceKm, distanceText, hoursText, wonText } from './market.js';
import { dayText, shortText } from './time.js';

export class OfferView {
  constructor(market, chat) {
    this.market = market;
    this.chat = chat;
    market.addEventListener('change', ({ detail }) => {
      // A distance is one from the chosen place.
      if (detail === 'offer' || detail === 'restart') this.render();
    });
    this.render();
  }

  render() {
    byId('offer').replaceChildren(...this.content());
  }

  content() {
    const { offer } = this.market;
    if (!offer) {
      const picture = element('img', { src: '/icon.svg', alt: '', width: 72, height: 72 });
      return [element('div', { class: 'nothing' }, picture, element('p', {}, '상품을 골라 주세요.'))];
    }
    const { kind, detail, problem } = offer;
    const back = element('a', { class: 'icon-button back', href: `#/market/${kind}`, 'aria-label': '상품 목록으로' }, icon('back'));
    const title = kind === 'data' ? '모바일 데이터' : '와이파이';
    const head = element('header', { class: 'conversation-head' }, back, element('div', { class: 'headings' }, element('h2', {}, title)));
    if (problem && !detail) return [head, element('p', { class: 'offer-note', role: 'alert' }, problem.message)];
    if (!detail) return [head, element('p', { class: 'offer-note' }, '불러오는 중…')];
    const parts = kind === 'data' ? dataParts(detail) : this.wifiParts(detail);
    return [head, element('div', { class: 'offer-body' }, ...parts, this.seller(), this.room())];
  }

  wifiParts(detail) {
    const place = PLACES[this.market.choices.wifi.place];
    const state = detail.open ? element('span', { class: 'tag open-tag' }, '영업 중') : element('span', { class: 'tag closed-tag' }, '준비 중');
    return [
      element('div', { class: 'offer-title' }, element('h3', {}, detail.title), state),
      element('p', { class: 'offer-text' }, detail.content),
      facts([
        ['가격', `10분에 ${wonText(detail.price)}`],
        ['이용 시간', hoursText(detail.startTime, detail.endTime)],
        ['주소', detail.address],
        ['거리', `${place[0]}에서 ${distanceText(distanceKm(place, detail))}`],
      ]),
    ];
  }

  seller() {
    const { detail, seller } = this.market.offer;
    const mine = detail.myProduct ? element('span', { class: 'tag' }, '내 상품') : null;
    const rating = detail.reviewCount > 0 ? `★ ${detail.averageRate.toFixed(1)} (${detail.reviewCount})` : '아직 후기 없음';
    const joined = seller && `${dayText(seller.joinedAt).replace(/ \S+요일$/, '')} 가입`;
    return element(
      'section',
      { class: 'seller', 'aria-label': '판매자' },
      avatar(detail.memberId, detail.memberName),
      element(
        'div',
        { class: 'headings' },
        element('p', { class: 'seller-name' }, element('strong', {}, detail.memberName), mine),
        element('p', {}, [rating, joined].filter(Boolean).join(' · ')),
      ),
    );
  }

  /** The way to the conversation about this offer, if there is one. */
  room() {
    const { productId } = this.market.offer;
    const room = this.chat.rooms.list().find((one) => one.productId === productId);
    return room ? element('a', { class: 'offer-room', href: `#/room/${room.id}` }, icon('chat'), '이 상품의 대화 열기') : null;
  }
}

function dataParts(detail) {
  const soldOut = detail.productState === 'SOLD_OUT' ? element('span', { class: 'tag closed-tag' }, '판매 완료') : null;
  return [
    element('div', { class: 'offer-title' }, element('h3', {}, dataText(detail.remainAmount)), soldOut),
    element('p', { class: 'offer-sum' }, wonText(detail.price)),
    facts([
      ['100MB당', wonText(detail.pricePer100MB)],
      ['사는 방법', detail.splitType ? '필요한 만큼 나눠 살 수 있어요' : '한 번에 모두 사는 상품이에요'],
      ['올린 때', shortText(detail.updatedAt)],
      ['판매 기한', '이번 달 말일까지'],
    ]),
  ];
}

function facts(pairs) {
  const rows = pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)));
  return element('dl', { class: 'facts' }, ...rows);
}
