// Read marks of the other members, by room. Marks only rise. They come from the list of members, from
// events, and from messages (sending implies having read). They survive a reload.

const KEY = 'dapanda.reads.';

export class Reads {
  constructor(memberId) {
    this.key = `${KEY}${memberId}`;
    this.byRoom = restore(this.key);
  }

  note(roomId, memberId, messageId) {
    if (memberId == null || !messageId) return;
    const marks = this.byRoom.get(roomId) ?? new Map();
    this.byRoom.set(roomId, marks);
    if (messageId <= (marks.get(memberId) ?? 0)) return;
    marks.set(memberId, messageId);
    // Several marks are saved together.
    this.saving ??= setTimeout(() => this.save());
  }

  /** How many others have read this message. */
  count(roomId, messageId) {
    const marks = [...(this.byRoom.get(roomId)?.values() ?? [])];
    return marks.filter((mark) => mark >= messageId).length;
  }

  save() {
    this.saving = null;
    const plain = [...this.byRoom].map(([roomId, marks]) => [roomId, [...marks]]);
    sessionStorage.setItem(this.key, JSON.stringify(plain));
  }
}

function restore(key) {
  try {
    const plain = JSON.parse(sessionStorage.getItem(key)) ?? [];
    return new Map(plain.map(([roomId, marks]) => [roomId, new Map(marks)]));
  } catch {
    return new Map();
  }
}
