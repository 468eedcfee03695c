// Which members are online. Rooms are read once and followed by their events; a member who is online is so everywhere,
// so of several rooms with the same other member one is followed.

/** Rooms of the list that are followed, the newest first: what is seen without much scrolling. */
const FOLLOWED_MAX = 20;

export class Presence {
  constructor() {
    this.online = new Map();
  }

  /** Rows of a room's members; without `online` the server does not know at present. */
  take(members) {
    for (const { memberId, online } of members) this.set(memberId, online === true);
  }

  /** `joined` and `left` with `presence`; whether it was one. */
  onEvent({ presence, memberId }) {
    if (presence !== 'online' && presence !== 'offline') return false;
    this.set(memberId, presence === 'online');
    return true;
  }

  set(memberId, isOnline) {
    this.online.set(memberId, isOnline);
  }

  isOnline(memberId) {
    return this.online.get(memberId) === true;
  }
}

/** The rooms whose events are followed: the open one, and those that show who is online in the list. */
export function followedRooms(rooms, openId) {
  const followed = new Set(openId == null ? [] : [openId]);
  const members = new Set();
  for (const { id, otherId } of rooms) {
    if (otherId == null || members.has(otherId) || members.size >= FOLLOWED_MAX) continue;
    members.add(otherId);
    followed.add(id);
  }
  return followed;
}
