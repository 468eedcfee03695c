// View of the list of rooms.

import { avatar, byId, element, groupAvatar, icon, reconcile, skeletons } from './dom.js';
import { t } from './i18n.js';
import { shortText } from './time.js';

const FILTERS = [
  ['all', 'filterAll', () => true],
  ['unread', 'filterUnread', (room) => room.unread > 0],
  ['direct', 'filterTrades', (room) => room.item != null],
  ['group', 'filterGroups', (room) => room.item == null],
];

const NOTHING = {
  all: 'noRooms',
  unread: 'noUnread',
  direct: 'noTrades',
  group: 'noGroups',
};

export class RoomsView {
  constructor(chat, preferences) {
    this.chat = chat;
    this.preferences = preferences;
    preferences.addEventListener('change', () => this.render());
    this.filter = 'all';
    byId('filters').replaceChildren(...FILTERS.map(([key, text]) => this.tab(key, t(text))));
  }

  render() {
    const { rooms } = this.chat;
    for (const tab of byId('filters').children) {
      tab.setAttribute('aria-pressed', String(tab.dataset.filter === this.filter));
    }
    const [, , takes] = FILTERS.find(([key]) => key === this.filter);
    const shown = rooms.list().filter(takes);
    const rows = shown.map((room) => this.row(room));
    if (!rooms.loaded) skeletons(4, 'room-skeleton').forEach((node, index) => rows.push({ key: `skeleton-${index}`, version: '', make: () => node }));
    else if (rows.length === 0) rows.push(this.nothing());
    reconcile(byId('rooms'), rows);
  }

  tab(key, text) {
    const choose = () => {
      this.filter = key;
      this.render();
    };
    return element('button', { type: 'button', class: 'filter', 'data-filter': key, onclick: choose }, text);
  }

  nothing() {
    const text = t(NOTHING[this.filter]);
    const market = element('a', { class: 'button to-market', href: '#/market/data' }, t('toMarket'));
    const make = () => element('li', { class: 'no-rooms' }, element('p', {}, text), this.filter === 'all' ? market : null);
    return { key: 'nothing', version: text, make };
  }

  row(room) {
    const { rooms, openId } = this.chat;
    const isOpen = room.id === openId;
    const title = rooms.title(room);
    const time = room.lastText == null ? '' : shortText(room.lastAt);
    const isOnline = this.chat.presence.isOnline(room.otherId);
    const isMuted = this.preferences.mutedUntil(room.id) != null;
    const version = [title, room.lastText, time, room.unread, isOpen, room.item, isOnline, isMuted].join('\u0000');
    return { key: room.id, version, make: () => this.make(room, { title, time, isOpen, isOnline, isMuted }) };
  }

  make(room, { title, time, isOpen, isOnline, isMuted }) {
    const { rooms } = this.chat;
    const isGroup = rooms.isGroup(room);
    const picture = isGroup ? groupAvatar() : avatar(title, '', room.otherImage);
    const members = isGroup && room.members ? element('span', { class: 'members-count' }, String(room.members.size)) : null;
    const tag = room.item ? element('span', { class: 'tag' }, room.item) : null;
    const muted = isMuted ? element('span', { class: 'room-muted', title: t('muted') }, icon('muted'), element('span', { class: 'hidden' }, t('muted'))) : null;
    const link = element(
      'a',
      { href: `#/room/${room.id}`, class: 'room', 'aria-current': isOpen ? 'page' : null, 'data-room': room.id },
      withPresence(picture, isOnline),
      element(
        'span',
        { class: 'room-middle' },
        element('span', { class: 'room-title' }, element('strong', {}, title), members, tag, muted),
        element('span', { class: 'room-last' }, lastText(room)),
      ),
      element('span', { class: 'room-end' }, element('span', { class: 'room-time' }, time), badge(room.unread)),
    );
    return element('li', {}, link);
  }
}

/** A picture with a dot if its member is online. */
export function withPresence(picture, isOnline) {
  const dot = isOnline ? element('span', { class: 'online', title: t('online') }, element('span', { class: 'hidden' }, t('online'))) : null;
  return element('span', { class: 'avatar-place' }, picture, dot);
}

function lastText(room) {
  if (room.lastText == null) return t('noMessages');
  return room.lastText === '' ? t('messageDeleted') : room.lastText;
}

function badge(unread) {
  if (unread === 0) return null;
  const text = unread >= 100 ? '99+' : String(unread);
  return element('span', { class: 'badge' }, element('span', { class: 'hidden' }, `${t('unreadMessages')} `), text);
}
