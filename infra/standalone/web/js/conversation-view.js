// The open room: its messages, and where the eye is in them.

import { About } from './about.js';
import { avatar, byId, element, groupAvatar, icon, reconcile } from './dom.js';
import { describe } from './errors.js';
import { t } from './i18n.js';
import { rowsOf } from './message-rows.js';

/** So near to the end one is reading the newest. */
const NEAR_END_PX = 80;

/** So near to the beginning older messages are requested, before they are missed. */
const NEAR_BEGINNING_PX = 600;

/** So much of what was read shows above the line of what was not. */
const READ_ABOVE_PX = 96;

export class ConversationView {
  constructor(chat) {
    this.chat = chat;
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

  /** Another room is shown: everything about the last one is forgotten. */
  reset() {
    this.atEnd = true;
    /** The next render goes to the end, wherever one reads. */
    this.wantsEnd = true;
    /** The next render begins at the line of what is unread. */
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
    // Who has just scrolled away is not at the end, even if the browser has yet to say so.
    this.atEnd = this.wantsEnd || (this.atEnd && this.distance() < NEAR_END_PX);
    this.wantsEnd = false;
    const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
    reconcile(this.list, rowsOf(this));
    this.renderBeginning(timeline);
    if (this.startsAt) this.toUnread();
    else if (this.atEnd) this.toEnd();
    // What was put in above must not move what is being read.
    else this.scroller.scrollTop = this.scroller.scrollHeight - fromEnd;
    this.renderJump();
    this.look();
    this.fill();
  }

  renderHead(room) {
    const { rooms } = this.chat;
    const title = rooms.title(room);
    const picture = rooms.isGroup(room) ? groupAvatar() : avatar(title, '', room.otherImage);
    byId('avatar').replaceChildren(picture);
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

  /** The first time the messages are there: where did reading end? */
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

  /** Begins where reading ended, with a little of what was read above it. */
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

  /** How far the end is, in pixels. */
  distance() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  /** Older messages come before one has scrolled to where they belong. */
  fill() {
    if (this.room && this.scroller.scrollTop < NEAR_BEGINNING_PX) this.chat.loadOlder();
  }

  isLooking() {
    return document.visibilityState === 'visible' && document.hasFocus() && this.atEnd;
  }

  /** If the newest is before the member's eyes, the others may know. */
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
