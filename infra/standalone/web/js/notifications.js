// State of the member's notifications: the unread count, and the list as far as it is loaded. The server's log is the
// truth: the count is read again after each arrival, reconnect and return to the tab; live notifications come once
// each, those that were missed after a reconnect. Views are notified by `change` events, and by `ring` of each new one.

const PAGE = 20;

/** Requests of a page at most. */
const READS_MAX = 8;

/** The server counts up to this number. */
export const UNREAD_MAX = 100;

/** Several reasons to read the count cause one request. */
const REFRESH_PAUSE_MS = 250;

/** No such notification: it was deleted elsewhere. */
const UNKNOWN = 9001;

export class Notifications extends EventTarget {
  constructor(api, connection, memberId) {
    super();
    this.api = api;
    this.connection = connection;
    /** Newest first. What came live is among them, also before the list is loaded. */
    this.rows = [];
    this.loaded = false;
    this.complete = false;
    this.problem = null;
    this.loading = null;
    this.unread = 0;
    /** Whether the member has the list before their eyes. */
    this.isOpen = false;
    /** Ids that came live. */
    this.rung = new Set();
    /** Counts what changes the unread count, to recognize a count that was read before. */
    this.version = 0;
    /** Other tabs of this member in this browser. */
    this.tabs = new BroadcastChannel(`dapanda.notifications.${memberId}`);
  }

  start() {
    this.connection.subscribe('/user/queue/notifications', (body) => this.onLive(body), {
      began: ({ recovered }) => this.onFollowing(recovered),
    });
    this.tabs.onmessage = ({ data }) => this.onOtherTab(data);
    document.addEventListener('visibilitychange', () => this.onVisible());
    window.addEventListener('focus', () => this.onVisible());
  }

  // ---- for views -----------------------------------------------------------------------------

  /** Shows the list: what is read then is marked as read. */
  async open() {
    this.isOpen = true;
    this.changed();
    await this.reload();
    this.markRead();
  }

  close() {
    this.isOpen = false;
    // While the list is open it shows what was new.
    for (const row of this.rows) if (row.id <= (this.marked ?? 0)) row.read = true;
    this.changed();
  }

  /** Loads the page after the last one. */
  more() {
    this.loading ??= this.load(this.rows.at(-1)?.id ?? null);
    return this.loading;
  }

  async delete(id) {
    try {
      await this.api.deleteNotification(id);
    } catch (error) {
      if (error.code !== UNKNOWN) throw error;
    }
    this.onDeleted(id);
    this.tabs.postMessage({ deleted: id });
  }

  // ---- incoming ------------------------------------------------------------------------------

  onLive(body) {
    const row = readRow(body);
    if (!row || this.rung.has(row.id) || this.rows.some(({ id }) => id === row.id)) return;
    this.rung.add(row.id);
    this.rows = merged(this.rows, [row]);
    this.version += 1;
    this.unread = Math.min(UNREAD_MAX, this.unread + 1);
    this.changed();
    this.dispatchEvent(new CustomEvent('ring', { detail: row }));
    if (this.isOpen) this.markRead();
    else this.refreshSoon();
  }

  /** The subscription is active: what came before is in the list only. */
  onFollowing(recovered) {
    if (!recovered || this.loaded) this.reload();
    this.refreshSoon();
  }

  onVisible() {
    if (document.visibilityState !== 'visible') return;
    this.refreshSoon();
    this.markRead();
  }

  onOtherTab({ readUpTo, deleted }) {
    if (deleted) this.onDeleted(deleted);
    if (readUpTo) this.noteRead(readUpTo);
  }

  onDeleted(id) {
    this.rows = this.rows.filter((row) => row.id !== id);
    this.refreshSoon();
    this.changed();
  }

  /** Read up to here, in this tab or another. */
  noteRead(upTo) {
    this.version += 1;
    this.marked = Math.max(this.marked ?? 0, upTo);
    if (!this.isOpen) for (const row of this.rows) if (row.id <= upTo) row.read = true;
    this.unread = this.rows.filter((row) => row.id > this.marked).length;
    this.changed();
    this.refreshSoon();
  }

  // ---- requests ------------------------------------------------------------------------------

  /** Marks all as read, if the list is before the member's eyes. */
  async markRead() {
    const newest = this.rows[0]?.id ?? 0;
    const isSeen = this.isOpen && this.loaded && document.visibilityState === 'visible';
    if (!isSeen || newest <= (this.marked ?? 0) || (this.unread === 0 && this.rows.every(({ read }) => read))) return;
    this.noteRead(newest);
    try {
      await this.api.readNotifications(newest);
      this.tabs.postMessage({ readUpTo: newest });
    } catch {
      // The next arrival or opening marks it again.
      this.marked = 0;
    }
    this.refreshSoon();
  }

  refreshSoon() {
    clearTimeout(this.refreshing);
    this.refreshing = setTimeout(() => this.refreshUnread(), REFRESH_PAUSE_MS);
  }

  async refreshUnread() {
    const { version } = this;
    const unread = await this.api.unreadNotifications().catch(() => null);
    if (unread == null) return;
    if (version !== this.version) return void this.refreshSoon();
    this.unread = unread;
    this.changed();
  }

  /** Reads the newest page again; what came live meanwhile stays above it. */
  async reload() {
    await this.loading;
    this.loading = this.load(null);
    await this.loading;
  }

  async load(before) {
    try {
      const page = await this.page(before);
      const newest = page[0]?.id ?? 0;
      const kept = before == null ? this.rows.filter(({ id }) => id > newest && this.rung.has(id)) : this.rows;
      this.rows = merged(kept, page);
      this.complete = page.length < PAGE;
      this.loaded = true;
      this.problem = null;
    } catch (error) {
      this.problem = error;
    }
    this.loading = null;
    this.changed();
  }

  /** A page of the list. One that is short need not be the last: only an empty one is. */
  async page(before) {
    const rows = [];
    for (let reads = 0; rows.length < PAGE && reads < READS_MAX; reads += 1) {
      const more = await this.api.notifications(PAGE, rows.at(-1)?.id ?? before);
      if (more.length === 0) break;
      rows.push(...more);
    }
    return rows;
  }

  changed() {
    this.dispatchEvent(new CustomEvent('change'));
  }
}

/** The body of a MESSAGE as a row of the list; `null` if it is none. */
function readRow(body) {
  try {
    const { notificationId: id, ...rest } = JSON.parse(body);
    return Number.isSafeInteger(id) ? { id, ...rest, data: rest.data ?? {}, read: false } : null;
  } catch {
    return null;
  }
}

/** Both, each id once, newest first. */
function merged(some, others) {
  const byId = new Map([...some, ...others].map((row) => [row.id, row]));
  return [...byId.values()].sort((one, other) => other.id - one.id);
}
