// Public page of a member: rating and received reviews, offers, and the ways to report and block.

import { blockButton } from './block-form.js';
import { avatar, byId, element, icon } from './dom.js';
import { describe } from './errors.js';
import { dataText } from './format.js';
import { t } from './i18n.js';
import { kindOf } from './market.js';
import { reportButton } from './report-form.js';
import { receivedRows, sortLinks } from './reviews-view.js';
import { marketHref, memberHref } from './route.js';
import { stars } from './stars.js';
import { dateText } from './time.js';

const OFFERS = 6;

export class MemberView {
  /** `self` is the signed-in member's id. */
  constructor(people, reviews, blocks, self) {
    this.people = people;
    this.reviews = reviews;
    this.blocks = blocks;
    this.self = self;
    this.memberId = null;
    this.clear();
    reviews.addEventListener('change', ({ detail }) => detail === 'received' && this.renderReviews());
    blocks.addEventListener('change', () => this.onBlocks());
  }

  clear() {
    this.info = null;
    this.offers = [];
    this.problem = null;
    this.reviewList = element('ul', { class: 'reviews', 'aria-label': t('reviewsReceived') });
    this.sorts = element('div', {});
  }

  /** Shows this member; what is shown is read anew each time it is opened. `backHref` leads to where the member came from. */
  async open(memberId, sort, backHref) {
    const isSame = this.memberId === memberId && this.info;
    if (!isSame) this.clear();
    this.memberId = memberId;
    this.backHref = backHref;
    this.reviews.showReceived(memberId, sort);
    if (memberId !== this.self) this.blocks.load();
    this.render();
    await this.load(memberId);
  }

  async load(memberId) {
    const [info, offers] = await Promise.allSettled([this.people.member(memberId), this.people.offers(memberId, OFFERS)]);
    if (memberId !== this.memberId) return;
    this.info = info.value ?? null;
    this.problem = info.reason ?? null;
    this.offers = offers.value?.rows ?? [];
    this.render();
  }

  /** Offers come and go with a block. */
  onBlocks() {
    if (this.memberId == null || byId('member').hidden) return;
    this.render();
    this.load(this.memberId);
  }

  render() {
    const back = element('a', { class: 'icon-button', href: this.backHref, 'aria-label': t('goBack') }, icon('back'));
    const title = element('h1', { tabindex: -1 }, this.info?.name ?? t('member'));
    const focused = document.activeElement?.closest('#member .block') != null;
    byId('member').replaceChildren(element('header', { class: 'list-head member-head' }, back, title), ...this.content());
    if (focused) byId('member').querySelector('.block')?.focus();
    this.renderReviews();
  }

  content() {
    if (this.problem && !this.info) {
      const again = element('button', { type: 'button', class: 'action', onclick: () => this.load(this.memberId) }, t('tryAgain'));
      return [element('div', { class: 'offer-note', role: 'alert' }, element('p', {}, describe(this.problem)), this.problem.code == null ? again : null)];
    }
    const reviews = element('section', { class: 'card', 'aria-labelledby': 'member-reviews' }, element('h2', { id: 'member-reviews' }, t('reviewsReceived')), this.sorts, this.reviewList);
    return [element('div', { class: 'profile member-body' }, this.person(), reviews)];
  }

  person() {
    const { info } = this;
    if (!info) return element('section', { class: 'card skeleton facts-skeleton', 'aria-hidden': 'true' });
    const { memberId, name, profileImageUrl } = info;
    const isSelf = memberId === this.self;
    return element(
      'section',
      { class: 'card person', 'aria-label': name, 'data-shown-member': memberId },
      element('div', { class: 'person-head' }, avatar(name, 'large', profileImageUrl), element('strong', { class: 'member-name' }, name)),
      this.rating(),
      element('p', { class: 'field-hint member-joined' }, t('joined', { date: dateText(info.joinedAt) })),
      isSelf ? null : this.state(),
      this.others(),
      isSelf ? null : element('div', { class: 'member-actions' }, reportButton(this.people, { category: 'MEMBER', targetId: memberId, text: name }), blockButton(this.blocks, info)),
    );
  }

  rating() {
    const { averageRating, reviewCount } = this.info;
    if (!(reviewCount > 0)) return element('p', { class: 'member-rating' }, t('noReviews'));
    return element(
      'p',
      { class: 'member-rating' },
      stars(averageRating),
      element('strong', {}, averageRating.toFixed(1)),
      element('span', { class: 'field-hint' }, t('reviewCount', { count: reviewCount })),
    );
  }

  state() {
    return this.blocks.has(this.memberId) ? element('p', { class: 'field-hint member-blocked', role: 'status' }, t('blockState')) : null;
  }

  others() {
    if (this.offers.length === 0) return null;
    const rows = this.offers.map((row) => {
      const kind = kindOf(row.type) ?? 'wifi';
      const title = row.type === 'MOBILE_DATA' ? dataText(row.remainAmount) : row.title;
      return element('li', {}, element('a', { class: 'other', href: marketHref(kind, row.productId) }, icon(kind === 'data' ? 'data' : 'wifi'), element('span', {}, title)));
    });
    return element('ul', { class: 'other-list', 'aria-label': t('offers') }, ...rows);
  }

  renderReviews() {
    const { received } = this.reviews;
    this.sorts.replaceChildren(sortLinks(received, (sort) => memberHref(this.memberId, { sort })));
    this.reviewList.setAttribute('aria-busy', String(!received.first && !received.problem));
    this.reviewList.replaceChildren(...receivedRows(this.reviews, this.people, this.self));
  }
}
