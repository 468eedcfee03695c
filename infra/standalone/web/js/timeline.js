// The messages of one room, as far as this tab has them: a piece of the room's log without holes
// that ends at the newest. Ids of one room rise by one (`(room << 22) | seq`), so a hole shows.

/** One form for what history and MESSAGE frames say. */
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
    /** Whether the newest page is here, so that there is something to show. */
    this.loaded = false;
    /** Whether the first message of the room is here. */
    this.complete = false;
    /** Up to here the live subscription has everything, even if it holds no message yet. */
    this.head = 0;
  }

  /** The newest position this tab is sure of; live messages continue here. */
  get cursor() {
    return Math.max(this.head, this.messages.at(-1)?.id ?? 0);
  }

  /** The oldest message here; older ones are requested before it. */
  get oldest() {
    return this.messages[0] ?? null;
  }

  has(clientId) {
    return this.messages.some((message) => message.clientId === clientId);
  }

  /** Takes messages in whatever order; what is here already is replaced, never doubled. */
  add(messages) {
    for (const message of messages) {
      const known = this.byId.get(message.id);
      // Both sides of a race may come last; a message is never un-deleted.
      const deleted = message.deleted || known?.deleted === true;
      this.byId.set(message.id, { ...message, deleted, text: deleted ? '' : message.text });
    }
    this.messages = [...this.byId.values()].sort((one, other) => one.id - other.id);
    this.dropBeforeHole();
  }

  /** One message that came live: at the end, as a rule. */
  append(message) {
    const newest = this.messages.at(-1);
    if (newest && message.id !== newest.id + 1) {
      this.add([message]);
      return;
    }
    this.byId.set(message.id, message);
    this.messages.push(message);
  }

  /** A page of history, and whether it reaches the beginning. */
  addPage(messages, hasMore) {
    this.loaded = true;
    if (!hasMore) this.complete = true;
    this.add(messages);
  }

  delete(messageId) {
    const message = this.byId.get(messageId);
    if (message) this.add([{ ...message, deleted: true }]);
  }

  clear() {
    this.byId.clear();
    this.messages = [];
    this.complete = false;
    this.loaded = false;
  }

  /** Only the newest piece without a hole stays; what was before it can be loaded again. */
  dropBeforeHole() {
    let first = this.messages.length - 1;
    while (first > 0 && this.messages[first - 1].id + 1 === this.messages[first].id) first -= 1;
    if (first <= 0) return;
    for (const message of this.messages.splice(0, first)) this.byId.delete(message.id);
    this.complete = false;
  }
}
