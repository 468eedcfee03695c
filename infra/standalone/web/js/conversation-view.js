// View of the open room: its messages and the scroll position.

import { About } from './about.js';
import { avatar, byId, element, groupAvatar, icon, reconcile } from './dom.js';
import { describe } from './errors.js';
import { t } from './i18n.js';
import { rowsOf } from './message-rows.js';
import { reportSheet } from './report-form.js';
import { withPresence } from './rooms-view.js';

/** Within this distance of the end the newest messages count as visible. */
const NEAR_END_PX = 80;

/** Within this distance of the beginning older messages are requested. */
const NEAR_BEGINNING_PX = 600;

/** Height of read messages above the line of unread ones. */
const READ_ABOVE_PX = 96;

export class ConversationView {
  constructor(chat, people) {
    this.chat = chat;
    this.people = people;
    this.scroller = byId('scroller');
    this.list = byId('messages');
    this.reset();
    byId('back').replaceChildren(icon('back'));
    byId('back').onclick = () => (location.hash = '#/chat');
    this.about = new About(chat);
    byId('jump').onclick = () => this.toEnd();
    this.scroller.onscroll = () => this.onScroll();
    chat.addEventListener('message', ({ detail }) => this.onMessage(detail));
    window.addEventListener('focus', () => this.look());
    document.addEventListener('visibilitychange', () => this.look());
    // The keyboard of a phone and a growing composer make the window smaller.
    new ResizeObserver(() => this.atEnd && this.toEnd()).observe(this.scroller);
  }

  get room() {
    return this.chat.rooms.get(this.chat.openId);
  }

  /** Another room is shown: the state of the last one is reset. */
  reset() {
    this.atEnd = true;
    /** The next render scrolls to the end. */
    this.wantsEnd = true;
    /** The next render scrolls to the line of unread messages. */
    this.startsAt = false;
    this.missed = 0;
    this.selected = null;
    this.unreadFrom = null;
    this.settled = false;
    this.unreadAtOpen = this.room?.unread ?? 0;
    this.list.known = null;
    this.list.replaceChildren();
  }

  render() {
    const { room } = this;
    byId('conversation').hidden = !room;
    byId('nothing').hidden = Boolean(room);
    const { rooms } = this.chat;
    const hasNone = rooms.loaded && rooms.list().length === 0;
    byId('nothing-text').textContent = t(hasNone ? 'noRoomsWay' : 'chooseRoom');
    byId('nothing-way').hidden = !hasNone;
    byId('chat').dataset.view = room ? 'room' : 'list';
    if (!room) return;
    this.renderHead(room);
    const timeline = this.chat.timeline(room.id);
    if (timeline.loaded && !this.settled) this.settle(timeline);
    // After scrolling away the position is not the end, even before the browser's event.
    this.atEnd = this.wantsEnd || (this.atEnd && this.distance() < NEAR_END_PX);
    this.wantsEnd = false;
    const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
    reconcile(this.list, rowsOf(this));
    this.renderBeginning(timeline);
    if (this.startsAt) this.toUnread();
    else if (this.atEnd) this.toEnd();
    // Rows added above must not move the visible ones.
    else this.scroller.scrollTop = this.scroller.scrollHeight - fromEnd;
    this.renderJump();
    this.look();
    this.fill();
  }

  renderHead(room) {
    const { rooms } = this.chat;
    const title = rooms.title(room);
    const picture = rooms.isGroup(room) ? groupAvatar() : avatar(title, '', room.otherImage);
    byId('avatar').replaceChildren(withPresence(picture, this.chat.presence.isOnline(room.otherId)));
    byId('title').textContent = title;
    byId('subtitle').textContent = rooms.subtitle(room);
    this.about.show(room);
  }

  renderBeginning(timeline) {
    const text = () => {
      if (!timeline.loaded) return t(timeline.problem ? 'messagesFailed' : 'loading');
      if (timeline.loading) return t('loadingOlder');
      if (!timeline.complete) return '';
      return t(timeline.messages.length > 0 ? 'talkBegin' : 'talkEmpty');
    };
    const beginning = byId('beginning');
    beginning.textContent = text();
    beginning.classList.toggle('alone', timeline.complete && timeline.messages.length === 0);
  }

  renderTyping() {
    const names = this.chat.typing();
    const dots = element('span', { class: 'dots', 'aria-hidden': 'true' }, element('i'), element('i'), element('i'));
    byId('typing').replaceChildren(...(names.length > 0 ? [dots, t('typing', { names })] : []));
  }

  renderJump() {
    const jump = byId('jump');
    jump.hidden = this.atEnd;
    jump.setAttribute('aria-label', this.missed > 0 ? t('showNew', { count: this.missed }) : t('toEnd'));
    jump.replaceChildren(...(this.missed > 0 ? [t('newMessages', { count: this.missed })] : []), icon('down'));
  }

  /** At the first render: finds the read mark. */
  settle(timeline) {
    this.settled = true;
    if (this.unreadAtOpen === 0) return;
    const { memberId } = this.chat.session;
    const others = timeline.messages.filter((message) => message.senderId !== memberId && !message.deleted);
    const first = others.at(-this.unreadAtOpen);
    // With everything unread there is nothing above the line.
    if (!first || first === timeline.messages[0]) return;
    this.unreadFrom = first.id;
    this.startsAt = true;
  }

  /** Scrolls to the read mark, with some read messages above it. */
  toUnread() {
    this.startsAt = false;
    const line = this.list.querySelector('.unread-line');
    this.scroller.scrollTop = line ? line.offsetTop - READ_ABOVE_PX : this.scroller.scrollHeight;
    this.atEnd = this.distance() < NEAR_END_PX;
  }

  onMessage({ roomId, message }) {
    const isMine = message.senderId === this.chat.session.memberId;
    if (isMine) return;
    const room = this.chat.rooms.get(roomId);
    if (roomId === this.chat.openId) {
      if (!this.atEnd) this.missed += 1;
      if (!this.isLooking()) this.unreadFrom ??= message.id;
    }
    const name = room ? this.chat.rooms.nameOf(room, message.senderId) : '';
    byId('announcer').textContent = `${name}: ${message.text}`;
  }

  onScroll() {
    this.atEnd = this.distance() < NEAR_END_PX;
    if (this.atEnd) this.missed = 0;
    this.renderJump();
    this.look();
    this.fill();
  }

  /** Distance to the end, in pixels. */
  distance() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  /** Requests older messages before the beginning is reached. */
  fill() {
    if (this.room && this.scroller.scrollTop < NEAR_BEGINNING_PX) this.chat.loadOlder();
  }

  isLooking() {
    return document.visibilityState === 'visible' && document.hasFocus() && this.atEnd;
  }

  /** Sends a read mark if the newest message is visible. */
  look() {
    if (this.room && this.isLooking() && this.chat.timeline(this.room.id).loaded) this.chat.markSeen();
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.atEnd = true;
    this.missed = 0;
  }

  select(messageId) {
    this.selected = messageId;
    this.chat.changed('messages');
    queueMicrotask(() => this.list.querySelector('.action')?.focus());
  }

  async copy(message) {
    try {
      await navigator.clipboard.writeText(message.text);
      byId('announcer').textContent = t('copied');
    } catch {
      byId('announcer').textContent = t('notCopied');
    }
    this.select(null);
  }

  report(message) {
    this.select(null);
    reportSheet(this.people, { category: 'CHAT', targetId: message.id, text: message.text });
  }

  async takeBack(message) {
    this.selected = null;
    try {
      await this.chat.takeBack(message.id);
    } catch (error) {
      byId('announcer').textContent = describe(error);
      this.chat.changed('messages');
    }
  }
}
