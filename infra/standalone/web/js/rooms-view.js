// The list of rooms.

import { avatar, byId, element, groupAvatar, icon, reconcile } from './dom.js';
import { shortText } from './time.js';

const FILTERS = [
  ['all', '전체', () => true],
  ['unread', '안 읽음', (room) => room.unread > 0],
  ['direct', '거래', (room) => room.item != null],
  ['group', '단체', (room) => room.item == null],
];

const NOTHING = {
  all: '아직 채팅방이 없어요.',
  unread: '모두 읽었어요.',
  direct: '거래 대화가 없어요.',
  group: '단체 대화가 없어요.',
};

export class RoomsView {
  constructor(chat, { leave }) {
    this.chat = chat;
    this.filter = 'all';
    const { memberId, name } = chat.session;
    byId('me').replaceChildren(avatar(memberId, name, 'small'), element('span', {}, name));
    byId('leave').replaceChildren(icon('leave'));
    byId('leave').onclick = leave;
    byId('filters').replaceChildren(...FILTERS.map(([key, text]) => this.tab(key, text)));
  }

  render() {
    const { rooms } = this.chat;
    for (const tab of byId('filters').children) {
      tab.setAttribute('aria-pressed', String(tab.dataset.filter === this.filter));
    }
    const [, , takes] = FILTERS.find(([key]) => key === this.filter);
    const shown = rooms.list().filter(takes);
    const rows = shown.map((room) => this.row(room));
    if (rows.length === 0) rows.push(this.nothing());
    reconcile(byId('rooms'), rows);
    const unread = rooms.list().reduce((sum, room) => sum + room.unread, 0);
    const count = unread > 99 ? '99+' : unread;
    document.title = unread > 0 ? `(${count}) 다판다 · ${this.chat.session.name}` : `다판다 · ${this.chat.session.name}`;
  }

  tab(key, text) {
    const choose = () => {
      this.filter = key;
      this.render();
    };
    return element('button', { type: 'button', class: 'filter', 'data-filter': key, onclick: choose }, text);
  }

  nothing() {
    const { loaded } = this.chat.rooms;
    const text = loaded ? NOTHING[this.filter] : '불러오는 중…';
    return { key: 'nothing', version: text, make: () => element('li', { class: 'no-rooms' }, text) };
  }

  row(room) {
    const { rooms, openId } = this.chat;
    const isOpen = room.id === openId;
    const title = rooms.title(room);
    const time = room.lastText == null ? '' : shortText(room.lastAt);
    const version = [title, room.lastText, time, room.unread, isOpen, room.item].join('\u0000');
    return { key: room.id, version, make: () => this.make(room, { title, time, isOpen }) };
  }

  make(room, { title, time, isOpen }) {
    const { rooms } = this.chat;
    const isGroup = rooms.isGroup(room);
    const picture = isGroup ? groupAvatar() : avatar(room.otherId, title);
    const members = isGroup && room.members ? element('span', { class: 'members-count' }, String(room.members.size)) : null;
    const tag = room.item ? element('span', { class: 'tag' }, room.item) : null;
    const link = element(
      'a',
      { href: `#/room/${room.id}`, class: 'room', 'aria-current': isOpen ? 'page' : null, 'data-room': room.id },
      picture,
      element(
        'span',
        { class: 'room-middle' },
        element('span', { class: 'room-title' }, element('strong', {}, title), members, tag),
        element('span', { class: 'room-last' }, lastText(room)),
      ),
      element('span', { class: 'room-end' }, element('span', { class: 'room-time' }, time), badge(room.unread)),
    );
    return element('li', {}, link);
  }
}

function lastText(room) {
  if (room.lastText == null) return '아직 대화가 없어요';
  return room.lastText === '' ? '삭제된 메시지예요' : room.lastText;
}

function badge(unread) {
  if (unread === 0) return null;
  const text = unread >= 100 ? '99+' : String(unread);
  return element('span', { class: 'badge' }, element('span', { class: 'hidden' }, '안 읽은 메시지 '), text);
}
