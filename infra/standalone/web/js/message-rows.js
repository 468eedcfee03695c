// Rows of a conversation, and their elements.

import { avatar, element } from './dom.js';
import { t } from './i18n.js';
import { ageMs, clockText, dayOf, dayText } from './time.js';

/** The server takes a message back for five minutes; the button goes a little earlier. */
const TAKE_BACK_MS = 5 * 60 * 1000 - 5_000;

/** All rows of a room: days, the line of unread messages, messages, and sends in flight. */
export function rowsOf(view) {
  const { chat, room, unreadFrom } = view;
  const { memberId } = chat.session;
  const messages = chat.timeline(room.id).messages;
  const pending = chat.outbox.of(room.id).map((item) => toPending(item, memberId));
  const all = [...messages, ...pending.filter((item) => !chat.timeline(room.id).has(item.clientId))];
  const lastRead = lastReadOf(chat, room, messages);
  const rows = [];
  all.forEach((message, index) => {
    const before = all[index - 1];
    const after = all[index + 1];
    const isNewDay = !before || dayOf(before.createdAt) !== dayOf(message.createdAt);
    if (isNewDay) rows.push(dayRow(message.createdAt));
    if (message.id === unreadFrom) rows.push(unreadRow());
    const isFirst = isNewDay || !belongTogether(before, message) || message.id === unreadFrom;
    const isLast = !after || !belongTogether(message, after) || after.id === unreadFrom;
    rows.push(messageRow(view, message, { isFirst, isLast, readText: lastRead.get(message.id) ?? '' }));
  });
  return rows;
}

/** One after the other by the same member within the same minute. */
function belongTogether(one, other) {
  return one.senderId === other.senderId && one.createdAt.slice(0, 16) === other.createdAt.slice(0, 16);
}

function toPending(item, memberId) {
  return {
    id: `pending-${item.id}`,
    clientId: item.id,
    senderId: memberId,
    text: item.text,
    createdAt: item.at,
    state: item.state,
    problem: item.problem,
  };
}

/** The member's own message that gets the read label: the newest one that was read. */
function lastReadOf(chat, room, messages) {
  const { memberId } = chat.session;
  const isGroup = chat.rooms.isGroup(room);
  const texts = new Map();
  for (const message of messages.toReversed()) {
    if (message.senderId !== memberId || message.deleted) continue;
    const readers = chat.reads.count(room.id, message.id);
    if (readers === 0) continue;
    texts.set(message.id, isGroup ? t('readBy', { count: readers }) : t('read'));
    break;
  }
  return texts;
}

function dayRow(wire) {
  const day = dayOf(wire);
  const make = () => element('li', { class: 'day' }, element('span', {}, dayText(wire)));
  return { key: `day-${day}`, version: day, make };
}

function unreadRow() {
  const make = () => element('li', { class: 'unread-line' }, element('span', {}, t('readUpTo')));
  return { key: 'unread', version: '', make };
}

function messageRow(view, message, place) {
  const { chat, room, selected } = view;
  const isMine = message.senderId === chat.session.memberId;
  const name = isMine ? chat.session.name : chat.rooms.nameOf(room, message.senderId);
  const isSelected = selected === message.id;
  const { isFirst, isLast, readText } = place;
  const key = isMine && message.clientId ? `own-${message.clientId}` : message.id;
  const version = [
    message.id, message.text, message.deleted, message.state, message.problem, name, isFirst, isLast, readText, isSelected,
  ].join('\u0000');
  return { key, version, make: () => make(view, message, { ...place, isMine, name, isSelected }) };
}

function make(view, message, { isFirst, isLast, readText, isMine, name, isSelected }) {
  const side = isMine ? 'mine' : 'theirs';
  const classes = ['message', side, isFirst && 'first', isLast && 'last', message.state].filter(Boolean).join(' ');
  const head = !isMine && isFirst ? [avatar(name, 'small', imageOf(view, message.senderId))] : [];
  // In a room of two the sender is clear.
  const isGroup = view.chat.rooms.isGroup(view.room);
  const speaker = head.length > 0 && isGroup ? element('span', { class: 'sender' }, name) : spoken(name);
  return element(
    'li',
    { class: classes, 'data-id': message.id, 'data-state': message.state ?? 'there' },
    ...head,
    speaker,
    element('div', { class: 'line' }, bubble(view, message, isSelected), meta(message, { isLast, readText })),
    isSelected ? actions(view, message, isMine) : null,
    message.state === 'failed' ? failure(view, message) : null,
  );
}

/** The other's picture, in a room of two. */
function imageOf({ room }, senderId) {
  return senderId === room.otherId ? room.otherImage : null;
}

/** The name for screen readers only. */
function spoken(name) {
  return element('span', { class: 'hidden' }, `${name}:`);
}

function bubble(view, message, isSelected) {
  if (message.deleted) return element('p', { class: 'bubble deleted' }, t('messageDeleted'));
  if (message.contentType) return element('p', { class: 'bubble deleted' }, t('messageOther'));
  if (message.state) return element('p', { class: 'bubble' }, message.text);
  const toggle = () => view.select(isSelected ? null : message.id);
  const onkeydown = (event) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    toggle();
  };
  // A click that selects text does not choose the message.
  const onclick = () => getSelection()?.isCollapsed !== false && toggle();
  const attributes = { class: 'bubble', tabindex: 0, role: 'button', 'aria-expanded': String(isSelected), onclick, onkeydown };
  return element('p', attributes, message.text);
}

function meta(message, { isLast, readText }) {
  if (message.state === 'sending') return element('span', { class: 'meta' }, t('sendingMessage'));
  if (message.state === 'failed') return null;
  const time = isLast ? element('time', { datetime: `${message.createdAt}+09:00` }, clockText(message.createdAt)) : null;
  const read = readText ? element('span', { class: 'read' }, readText) : null;
  return time || read ? element('span', { class: 'meta' }, read, time) : null;
}

function actions(view, message, isMine) {
  const canTakeBack = isMine && ageMs(message.createdAt) < TAKE_BACK_MS;
  const button = (text, onclick, kind = '') => element('button', { type: 'button', class: `action ${kind}`, onclick }, text);
  return element(
    'div',
    { class: 'actions' },
    button(t('copy'), () => view.copy(message)),
    isMine || message.senderId == null ? null : button(t('report'), () => view.report(message), 'report'),
    canTakeBack ? button(t('delete'), () => view.takeBack(message), 'danger') : null,
  );
}

function failure(view, { clientId, problem }) {
  const { outbox } = view.chat;
  const drop = () => {
    outbox.remove(clientId);
    view.chat.changed('messages');
  };
  return element(
    'div',
    { class: 'failure', role: 'alert' },
    element('span', {}, [t('notSent'), problem].filter(Boolean).join(' · ')),
    element('button', { type: 'button', class: 'action', onclick: () => outbox.retry(clientId) }, t('sendAgain')),
    element('button', { type: 'button', class: 'action danger', onclick: drop }, t('discard')),
  );
}
