// How far everybody has read, by room. Marks only go forward. They come from the list of members,
// as events, and with every message: who writes has read.

export class Reads {
  constructor() {
    this.byRoom = new Map();
  }

  note(roomId, memberId, messageId) {
    if (memberId == null || !messageId) return;
    const marks = this.byRoom.get(roomId) ?? new Map();
    this.byRoom.set(roomId, marks);
    if (messageId > (marks.get(memberId) ?? 0)) marks.set(memberId, messageId);
  }

  of(roomId, memberId) {
    return this.byRoom.get(roomId)?.get(memberId) ?? 0;
  }

  /** How many others have read this message. */
  count(roomId, messageId, senderId) {
    let readers = 0;
    for (const [memberId, mark] of this.byRoom.get(roomId) ?? []) {
      if (memberId !== senderId && mark >= messageId) readers += 1;
    }
    return readers;
  }
}
