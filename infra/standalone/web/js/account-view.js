// Parts of the member's own page with an address of their own: reviews received and written, blocked members, and the end
// of the account.

import { unblockMember } from './block-form.js';
import { closeForm } from './close-form.js';
import { avatar, byId, element, icon } from './dom.js';
import { t } from './i18n.js';
import { listOf } from './money-parts.js';
import { receivedRows, sortLinks, writtenRows } from './reviews-view.js';
import { meHref, memberHref } from './route.js';
import { shortText } from './time.js';

const TITLES = { received: 'reviewsReceived', written: 'reviewsWritten', blocked: 'blockedMembers', close: 'closeAccount' };

export class AccountView {
  /** `closed()`: the account is no more. */
  constructor(people, reviews, blocks, { self, closed }) {
    this.people = people;
    this.reviews = reviews;
    this.blocks = blocks;
    this.self = self;
    this.onClosed = closed;
    this.part = null;
    this.list = element('ul', { class: 'reviews' });
    this.sorts = element('div', {});
    reviews.addEventListener('change', ({ detail }) => detail === this.part && this.renderList());
    blocks.addEventListener('change', () => this.part === 'blocked' && this.renderList());
  }

  /** Shows what the address names; `null`: the page without a part. */
  show(part, choice) {
    this.part = part;
    byId('profile').hidden = part != null;
    byId('me-part').hidden = part == null;
    if (!part) return;
    const back = element('a', { class: 'icon-button', href: '#/me', 'aria-label': t('toMe') }, icon('back'));
    const head = element('header', { class: 'part-head' }, back, element('h2', { tabindex: -1 }, t(TITLES[part])));
    this.list.replaceChildren();
    byId('me-part').replaceChildren(head, ...this.content(part));
    if (part === 'received') this.reviews.showReceived(this.self, choice.sort);
    if (part === 'written') this.reviews.showWritten(choice.sort);
    if (part === 'blocked') this.blocks.more();
    if (part !== 'close') this.renderList();
  }

  content(part) {
    if (part === 'close') return [closeForm({ send: () => this.people.closeAccount(), done: this.onClosed })];
    this.list.className = part === 'blocked' ? 'mine-list blocked-list' : 'reviews';
    this.list.setAttribute('aria-label', t(TITLES[part]));
    const hint = part === 'blocked' ? element('p', { class: 'field-hint' }, t('blockText')) : null;
    return [element('section', { class: 'card' }, hint ?? this.sorts, this.list)];
  }

  renderList() {
    const { part, list, reviews } = this;
    const state = part === 'blocked' ? this.blocks : reviews[part];
    if (part !== 'blocked') this.sorts.replaceChildren(sortLinks(state, (sort) => meHref(part, { sort })));
    list.setAttribute('aria-busy', String(!state.first && !state.problem));
    list.replaceChildren(...this.rows(part));
  }

  rows(part) {
    if (part === 'received') return receivedRows(this.reviews, this.people, this.self);
    if (part === 'written') return writtenRows(this.reviews);
    return listOf(this.blocks, (row) => this.blockedRow(row), t('noBlocked'));
  }

  blockedRow(row) {
    const { memberId, name, profileImageUrl, blockedAt } = row;
    const undo = async () => {
      await unblockMember(this.blocks, row);
      byId('me-part').querySelector('.unblock, h2')?.focus();
    };
    return element(
      'li',
      { class: 'mine-row', 'data-blocked': memberId },
      avatar(name, '', profileImageUrl),
      element('span', { class: 'mine-texts' }, element('a', { class: 'review-name', href: memberHref(memberId) }, name), element('span', { class: 'tile-unit' }, t('blockedSince', { date: shortText(blockedAt) }))),
      element('button', { type: 'button', class: 'action unblock', 'aria-label': t('unblockOf', { name }), onclick: undo }, t('unblock')),
    );
  }
}
