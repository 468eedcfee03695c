// Chat state of this tab: rooms, messages, sends in flight, and the connection.
// Views read from here and are notified by `change` events; they change nothing themselves.

import { Api } from './api.js';
import { Connection } from './connection.js';
import { Outbox } from './outbox.js';
import { Presence, followedRooms } from './presence.js';
import { Reads } from './reads.js';
import { Rooms } from './rooms.js';
import { Timeline, toMessage } from './timeline.js';
import { nowOnWire } from './time.js';

/** Messages of a page of history: two screens of a large display. */
const PAGE = 40;

/** The list of rooms is polled, since no event announces a new room. */
const REFRESH_ROOMS_MS = 20_000;

/** Retry delay after a failed page. */
const RETRY_OLDER_MS = 2_000;

/** Debounce: several reasons to fetch the list cause one request. */
const REFRESH_PAUSE_MS = 250;

/** The room's two members are separated: one of them blocked the other. */
const SEPARATED = 8011;

/** Typing is published at most this often, and shown a little longer than the gap. */
const SEND_TYPING_MS = 2_100; // The server passes it on every two seconds.
const SHOW_TYPING_MS = 4_000;

export class Chat extends EventTarget {
  constructor(session) {
    super();
    this.session = session;
    this.api = new Api(session);
    this.rooms = new Rooms(session.memberId);
    this.reads = new Reads(session.memberId);
    this.presence = new Presence();
    /** Read marks of this member, by room; those of the others are in `reads`. */
    this.seen = new Map();
    this.timelines = new Map();
    this.typists = new Map();
    this.state = 'connecting';
    this.openId = null;
    /** Rooms whose other member takes no messages, until the room is opened again or the other one writes. */
    this.separated = new Set();
    this.retryOlderAt = 0;
    /** Subscribed rooms. */
    this.subscribed = new Set();
    /** Subscriptions to events, by room. */
    this.events = new Map();
    this.connection = new Connection(session, {
      state: (state) => this.onState(state),
      ready: () => this.onReady(),
    });
    this.outbox = new Outbox(session.memberId, {
      transmit: (item) => this.transmit(item),
      changed: () => this.changed('messages'),
      refused: (roomId, code) => code === SEPARATED && this.separate(roomId),
    });
    session.onRenewed = (token) => this.connection.showToken(token);
  }

  start() {
    this.connection.start();
    this.timer = setInterval(() => this.refreshSoon(), REFRESH_ROOMS_MS);
  }

  stop() {
    clearInterval(this.timer);
    clearTimeout(this.refreshing);
    this.session.onRenewed = () => {};
    return this.connection.stop();
  }

  // ---- for views -----------------------------------------------------------------------------

  timeline(roomId) {
    if (!this.timelines.has(roomId)) this.timelines.set(roomId, new Timeline());
    return this.timelines.get(roomId);
  }

  /** Shows a room; `null`: none. */
  async open(roomId) {
    if (this.openId === roomId) return;
    this.openId = roomId;
    this.separated.delete(roomId);
    for (const timer of this.typists.values()) clearTimeout(timer);
    this.typists.clear();
    this.subscribeToEvents();
    this.changed('open');
    if (roomId != null) await Promise.all([this.loadMembers(roomId), this.loadNewest(roomId)]);
  }

  /** Loads messages before the oldest one shown, if there are any. */
  async loadOlder() {
    const roomId = this.openId;
    const timeline = this.timeline(roomId);
    if (!timeline.loaded || timeline.complete || timeline.loading || Date.now() < this.retryOlderAt) return;
    timeline.loading = true;
    this.changed('messages');
    try {
      const before = timeline.oldest?.id ?? null;
      const page = await this.api.history(roomId, before, PAGE);
      this.take(roomId, (messages) => timeline.addPage(messages, page.hasMore, before), page.messages);
    } catch {
      this.retryOlderAt = Date.now() + RETRY_OLDER_MS; // Scrolling on retries.
    } finally {
      timeline.loading = false;
      this.changed('messages');
    }
  }

  separate(roomId) {
    this.separated.add(roomId);
    this.changed('separated');
  }

  /** It may be possible again. */
  reunite() {
    this.separated.clear();
    this.changed('separated');
  }

  send(text) {
    this.cancelTyping();
    this.outbox.add(this.openId, text, nowOnWire());
  }

  /** Publishes at once if the gap allows, else when it is over: typing right after a send is published, too. */
  sendTyping() {
    if (this.typingTimer) return;
    const wait = Math.max(0, (this.typingSentAt ?? 0) + SEND_TYPING_MS - Date.now());
    const roomId = this.openId;
    this.typingTimer = setTimeout(() => {
      this.typingTimer = null;
      if (!this.connection.isOpen || this.openId !== roomId) return;
      this.typingSentAt = Date.now();
      this.connection.publish(`/pub/${roomId}/typing`, {});
    }, wait);
  }

  /** The text was sent, so typing has ended. */
  cancelTyping() {
    clearTimeout(this.typingTimer);
    this.typingTimer = null;
  }

  /** The newest message of the open room is visible. */
  async markSeen() {
    const roomId = this.openId;
    const newest = this.timeline(roomId).messages.at(-1);
    if (!newest || this.hasSeenAll(roomId)) return;
    const before = this.seen.get(roomId);
    this.noteRead(roomId, this.session.memberId, newest.id);
    const room = this.rooms.get(roomId);
    if (room) room.unread = 0;
    this.changed('rooms');
    if (newest.senderId === this.session.memberId) return;
    // A mark that is not stored is sent again when the room is next shown.
    await this.api.markRead(newest.id).catch(() => this.seen.set(roomId, before ?? 0));
  }

  hasSeenAll(roomId) {
    const newest = this.timeline(roomId).messages.at(-1);
    return newest != null && (this.seen.get(roomId) ?? 0) >= newest.id;
  }

  noteRead(roomId, memberId, messageId) {
    if (memberId !== this.session.memberId) this.reads.note(roomId, memberId, messageId);
    else if (messageId > (this.seen.get(roomId) ?? 0)) this.seen.set(roomId, messageId);
  }

  async takeBack(messageId) {
    await this.api.takeBack(messageId);
    this.onDeleted(this.openId, messageId);
  }

  /** Names of the members who are typing in the open room. */
  typing() {
    const room = this.rooms.get(this.openId);
    return room ? [...this.typists.keys()].map((memberId) => this.rooms.nameOf(room, memberId)) : [];
  }

  // ---- the connection ------------------------------------------------------------------------

  onState(state) {
    this.state = state;
    this.changed('state');
  }

  async onReady() {
    this.outbox.sendAll();
    await this.refreshRooms();
    // Deletions and read marks were published while there was no subscription.
    if (this.openId != null) await Promise.all([this.loadMembers(this.openId), this.loadNewest(this.openId)]);
  }

  /** Subscribes to every room that is not subscribed to yet, from this tab's position in it. */
  subscribeToRooms() {
    for (const { id } of this.rooms.list()) {
      if (this.subscribed.has(id)) continue;
      this.subscribed.add(id);
      const { cursor, loaded } = this.timeline(id);
      const resumes = loaded || cursor > 0;
      this.connection.subscribe(`/sub/${id}`, (body, head) => this.onMessage(id, body, head), {
        resumeAfter: resumes ? cursor : null,
        began: (receipt) => this.onFollowing(id, receipt),
        refused: () => this.subscribed.delete(id),
      });
    }
  }

  /** From this position on messages are live; earlier ones are in the history. */
  onFollowing(roomId, { head, recovered, resumed }) {
    const timeline = this.timeline(roomId);
    if (!recovered) timeline.clear();
    if (!resumed || !recovered) {
      timeline.head = head;
      // A page that was requested before may end before the head.
      if (roomId === this.openId) this.loadNewest(roomId);
    }
    this.refreshSoon();
  }

  /** Subscribes to events of the open room, and of those that show in the list who is online. */
  subscribeToEvents() {
    const wanted = followedRooms(this.rooms.list(), this.openId);
    for (const [roomId, events] of this.events) {
      if (wanted.has(roomId)) continue;
      events.unsubscribe();
      this.events.delete(roomId);
    }
    for (const roomId of wanted) {
      if (this.events.has(roomId)) continue;
      const listen = (body) => this.onEvent(roomId, JSON.parse(body));
      // Events are not stored: who came and left before is in the list of members only.
      const began = () => this.loadMembers(roomId);
      const refused = () => this.events.delete(roomId);
      this.events.set(roomId, this.connection.subscribe(`/sub/${roomId}/events`, listen, { began, refused }));
    }
  }

  /** A promise that resolves once the message is stored; `null` while there is no connection. */
  transmit(item) {
    if (!this.connection.isOpen) return null;
    return this.connection.send(`/pub/${item.roomId}`, { message: item.text }, item.id);
  }

  // ---- incoming ----------------------------------------------------------------------------

  onMessage(roomId, body, headers) {
    const message = readMessage(body, headers);
    this.take(roomId, ([one]) => this.timeline(roomId).append(one), [message]);
    this.rooms.onMessage(roomId, message);
    // The other one can write again, so this member can, too.
    if (message.senderId !== this.session.memberId && this.separated.delete(roomId)) this.changed('separated');
    if (message.senderId != null) this.stopTyping(message.senderId);
    this.changed('rooms');
    this.changed('messages');
    this.dispatchEvent(new CustomEvent('message', { detail: { roomId, message } }));
  }

  /** Adds messages to a timeline by `put`; sends that are among them are settled. */
  take(roomId, put, wire) {
    const messages = wire.map((one) => ('id' in one ? one : toMessage(one)));
    put(messages);
    for (const message of messages) {
      this.noteRead(roomId, message.senderId, message.id);
      if (message.clientId && message.senderId === this.session.memberId) this.outbox.remove(message.clientId);
    }
  }

  onEvent(roomId, event) {
    const isMe = event.memberId === this.session.memberId;
    if (this.presence.onEvent(event)) {
      this.changed('rooms');
      return;
    }
    if (event.type === 'typing' && !isMe && roomId === this.openId) this.onTyping(event.memberId);
    if (event.type === 'read') this.noteRead(roomId, event.memberId, event.upTo);
    if (event.type === 'deleted') this.onDeleted(roomId, event.chatMessageId);
    if (event.type === 'joined' || event.type === 'left') this.loadMembers(roomId);
    this.changed('messages');
    if (isMe) this.refreshSoon();
  }

  onTyping(memberId) {
    clearTimeout(this.typists.get(memberId));
    this.typists.set(memberId, setTimeout(() => this.stopTyping(memberId), SHOW_TYPING_MS));
    this.changed('typing');
  }

  stopTyping(memberId) {
    clearTimeout(this.typists.get(memberId));
    if (this.typists.delete(memberId)) this.changed('typing');
  }

  onDeleted(roomId, messageId) {
    this.timeline(roomId).delete(messageId);
    this.changed('messages');
    this.refreshSoon();
  }

  // ---- requests ------------------------------------------------------------------------------

  refreshSoon() {
    clearTimeout(this.refreshing);
    this.refreshing = setTimeout(() => this.refreshRooms(), REFRESH_PAUSE_MS);
  }

  async refreshRooms() {
    try {
      this.rooms.replace(await this.api.rooms());
    } catch {
      return; // The next refresh comes by itself.
    }
    // A read mark may still be in flight.
    for (const room of this.rooms.list()) if (this.hasSeenAll(room.id)) room.unread = 0;
    this.subscribeToRooms();
    this.subscribeToEvents();
    this.changed('rooms');
    const unknown = this.rooms.list().filter((room) => this.rooms.isGroup(room) && !room.members);
    await Promise.all(unknown.map((room) => this.loadMembers(room.id)));
  }

  async loadMembers(roomId) {
    const members = await this.api.members(roomId).catch(() => null);
    if (!members) return;
    this.rooms.setMembers(roomId, members);
    this.presence.take(members);
    for (const member of members) this.noteRead(roomId, member.memberId, member.lastReadMessageId);
    this.changed('rooms');
    this.changed('messages');
  }

  async loadNewest(roomId) {
    const timeline = this.timeline(roomId);
    try {
      const page = await this.api.history(roomId, null, PAGE);
      this.take(roomId, (messages) => timeline.addPage(messages, page.hasMore), page.messages);
      timeline.problem = null;
    } catch (error) {
      timeline.problem = error;
    }
    this.changed('messages');
  }

  changed(what) {
    this.dispatchEvent(new CustomEvent('change', { detail: what }));
  }
}

/** The body of a MESSAGE. Bodies that are not chat messages (rooms for programs) are shown as such. */
function readMessage(body, headers) {
  try {
    const wire = JSON.parse(body);
    if (Number.isSafeInteger(wire.chatMessageId)) return toMessage(wire, headers);
  } catch {
    // Not JSON.
  }
  return toMessage(
    {
      chatMessageId: Number(headers['message-id']),
      message: '',
      createdAt: nowOnWire(),
      deleted: headers.deleted === 'true',
      contentType: headers['content-type'] ?? 'application/octet-stream',
    },
    headers,
  );
}
