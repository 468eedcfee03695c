// The member's rooms: what the list shows of them.

const ITEMS = { MOBILE_DATA: '모바일 데이터', WIFI: '와이파이', HOTSPOT: '핫스팟' };

/** Names of a group's title; the others are counted. */
const TITLE_NAMES_MAX = 3;

export class Rooms {
  constructor(memberId) {
    this.memberId = memberId;
    this.byId = new Map();
    /** The server's answer has come once. */
    this.loaded = false;
  }

  get(roomId) {
    return this.byId.get(roomId);
  }

  /** The one that spoke last first. */
  list() {
    const later = (one, other) =>
      other.lastAt.localeCompare(one.lastAt) || other.createdAt.localeCompare(one.createdAt) || other.id - one.id;
    return [...this.byId.values()].sort(later);
  }

  /** The server's list replaces ours; members that we know stay known. */
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
    if (others.length === 0) return room.members ? '나와의 대화' : '단체 대화';
    const names = others.slice(0, TITLE_NAMES_MAX).map((member) => member.name).join(', ');
    const more = others.length - TITLE_NAMES_MAX;
    return more > 0 ? `${names} 외 ${more}명` : names;
  }

  subtitle(room) {
    if (room.item) return [room.item, room.hours].filter(Boolean).join(' · ');
    return room.members ? `${room.members.size}명` : '';
  }

  nameOf(room, memberId) {
    if (memberId == null) return '다판다';
    const known = room.members?.get(memberId)?.name;
    return known ?? (memberId === room.otherId ? room.otherName : '나간 회원');
  }
}

function toRoom(row, before) {
  const hour = (time) => time?.match(/(\d\d:\d\d):\d\d(\.\d+)?$/)?.[1];
  // The answer may have been made before the last message came live.
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
    productId: row.productId ?? null,
    item: ITEMS[row.itemType] ?? null,
    hours: row.startTime && row.endTime ? `${hour(row.startTime)}~${hour(row.endTime)}` : null,
    members: before?.members ?? null,
  };
}
