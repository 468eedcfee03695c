// State of the list of rooms.

import { hoursText } from './format.js';
import { t } from './i18n.js';

const ITEMS = { MOBILE_DATA: 'kindData', WIFI: 'kindWifi', HOTSPOT: 'kindHotspot' };

/** Names of a group's title; the others are counted. */
const TITLE_NAMES_MAX = 3;

export class Rooms {
  constructor(memberId) {
    this.memberId = memberId;
    this.byId = new Map();
    /** The list was loaded once. */
    this.loaded = false;
  }

  get(roomId) {
    return this.byId.get(roomId);
  }

  /** Rooms, the one with the newest message first. */
  list() {
    const later = (one, other) =>
      other.lastAt.localeCompare(one.lastAt) || other.createdAt.localeCompare(one.createdAt) || other.id - one.id;
    return [...this.byId.values()].sort(later);
  }

  /** Replaces the list by the server's; loaded members are kept. */
  replace(rows) {
    const before = this.byId;
    this.byId = new Map(rows.map((row) => [row.chatRoomId, toRoom(row, before.get(row.chatRoomId))]));
    this.loaded = true;
  }

  setMembers(roomId, members) {
    const room = this.byId.get(roomId);
    if (room) room.members = new Map(members.map((member) => [member.memberId, member]));
  }

  /** A message came live. */
  onMessage(roomId, message) {
    const room = this.byId.get(roomId);
    if (!room || message.id <= room.lastId) return;
    room.lastId = message.id;
    room.lastText = message.text;
    room.lastAt = message.createdAt;
    if (message.senderId === this.memberId) room.unread = 0;
    else if (!message.deleted) room.unread = Math.min(100, room.unread + 1);
  }

  isGroup(room) {
    return room.otherId == null;
  }

  title(room) {
    if (!this.isGroup(room)) return room.otherName;
    const others = [...(room.members?.values() ?? [])].filter(({ memberId }) => memberId !== this.memberId);
    if (others.length === 0) return t(room.members ? 'talkAlone' : 'talkGroup');
    const names = others.slice(0, TITLE_NAMES_MAX).map((member) => member.name).join(', ');
    const more = others.length - TITLE_NAMES_MAX;
    return more > 0 ? t('namesAndMore', { names, count: more }) : names;
  }

  subtitle(room) {
    if (room.item) return room.item; // The strip below says more.
    return room.members ? t('memberCount', { count: room.members.size }) : '';
  }

  nameOf(room, memberId) {
    if (memberId == null) return t('appName');
    const known = room.members?.get(memberId)?.name;
    return known ?? (memberId === room.otherId ? room.otherName : t('memberLeft'));
  }
}

function toRoom(row, before) {
  // The response may be older than the last live message.
  const isOld = before != null && before.lastAt > row.lastMessageAt;
  return {
    id: row.chatRoomId,
    createdAt: row.createdAt,
    lastAt: isOld ? before.lastAt : row.lastMessageAt,
    lastText: isOld ? before.lastText : (row.lastMessage ?? null),
    lastId: before?.lastId ?? 0,
    unread: isOld ? before.unread : row.unreadCount,
    otherId: row.senderId ?? null,
    otherName: row.senderName ?? '',
    otherImage: row.senderProfileImageUrl ?? null,
    productId: row.productId ?? null,
    itemType: row.itemType ?? null,
    item: Object.hasOwn(ITEMS, row.itemType ?? '') ? t(ITEMS[row.itemType]) : null,
    hours: row.startTime && row.endTime ? hoursText(row.startTime, row.endTime) : null,
    members: before?.members ?? null,
  };
}
