// Timeline of one room: the part of its log that this tab has loaded, without holes, up to the newest
// message. Ids of one room rise, mostly by one: a larger step is a hole, unless a page of the history has the
// two messages beside each other. So it is after a restored backup, or where the store has lost a message.

/** Common form of messages from the history and from MESSAGE frames. */
export function toMessage(wire, headers = {}) {
  return {
    id: wire.chatMessageId,
    senderId: wire.senderId ?? null,
    text: wire.message,
    createdAt: wire.createdAt,
    deleted: wire.deleted === true,
    clientId: wire.clientMessageId ?? headers['client-message-id'] ?? null,
    contentType: wire.contentType ?? null,
  };
}

export class Timeline {
  constructor() {
    this.byId = new Map();
    /** In the order of the log. */
    this.messages = [];
    /** The id before an id, as pages of the history have them. */
    this.precedes = new Map();
    /** Whether the newest page is loaded. */
    this.loaded = false;
    /** Whether the first message of the room is loaded. */
    this.complete = false;
    /** Up to this position the live subscription is complete, even without a message. */
    this.head = 0;
  }

  /** The newest complete position; live messages continue after it. */
  get cursor() {
    return Math.max(this.head, this.messages.at(-1)?.id ?? 0);
  }

  /** The oldest loaded message; older pages are requested before it. */
  get oldest() {
    return this.messages[0] ?? null;
  }

  has(clientId) {
    return this.messages.some((message) => message.clientId === clientId);
  }

  /** Adds messages in any order; existing ones are replaced, never duplicated. */
  add(messages) {
    for (const message of messages) {
      const known = this.byId.get(message.id);
      // History and live events race; a deleted message stays deleted.
      const deleted = message.deleted || known?.deleted === true;
      this.byId.set(message.id, { ...message, deleted, text: deleted ? '' : message.text });
    }
    this.messages = [...this.byId.values()].sort((one, other) => one.id - other.id);
    this.dropBeforeHole();
  }

  /** Adds a live message, usually at the end. */
  append(message) {
    const newest = this.messages.at(-1);
    if (newest && message.id !== newest.id + 1) {
      this.add([message]);
      return;
    }
    this.byId.set(message.id, message);
    this.messages.push(message);
  }

  /** A page of history, newest first, and whether it reaches the beginning: the newest page, or that before an id. */
  addPage(messages, hasMore, before = null) {
    this.loaded = true;
    if (!hasMore) this.complete = true;
    let next = before;
    for (const { id } of messages) {
      if (next != null) this.precedes.set(next, id);
      next = id;
    }
    this.add(messages);
  }

  delete(messageId) {
    const message = this.byId.get(messageId);
    if (message) this.add([{ ...message, deleted: true }]);
  }

  clear() {
    this.byId.clear();
    this.precedes.clear();
    this.messages = [];
    this.complete = false;
    this.loaded = false;
  }

  isNext(id, next) {
    return id + 1 === next || this.precedes.get(next) === id;
  }

  /** Keeps only the newest part without a hole; earlier messages can be loaded again. */
  dropBeforeHole() {
    let first = this.messages.length - 1;
    while (first > 0 && this.isNext(this.messages[first - 1].id, this.messages[first].id)) first -= 1;
    if (first <= 0) return;
    for (const message of this.messages.splice(0, first)) this.byId.delete(message.id);
    this.complete = false;
  }
}
