// State of blocks: the members whom the signed-in member blocked. Other tabs of the member follow. Views are notified by
// `change` events.

const PAGE = 100;

/** The server's limit of blocks is 500. */
const PAGES_MAX = 6;

export class Blocks extends EventTarget {
  /** `changed()`: offers come into sight, or leave it. */
  constructor(people, memberId, { changed }) {
    super();
    this.people = people;
    this.onChanged = changed;
    this.rows = [];
    /** Whether the list was read once. */
    this.first = false;
    this.problem = null;
    /** The list is read as a whole: it says of every member whether they are blocked. */
    this.next = null;
    this.reading = null;
    this.tabs = new BroadcastChannel(`dapanda.blocks.${memberId}`);
    this.tabs.onmessage = () => {
      this.onChanged();
      this.more();
    };
  }

  has(memberId) {
    return memberId != null && this.rows.some((row) => row.memberId === memberId);
  }

  /** Reads the list, unless it was read. */
  load() {
    return this.first && !this.problem ? Promise.resolve() : (this.reading ?? this.more());
  }

  /** Reads the list again; until it is there the last one stays. */
  more() {
    const reading = this.read(() => reading === this.reading);
    this.reading = reading;
    return reading;
  }

  async read(isNewest) {
    const rows = [];
    let [cursor, problem] = [null, null];
    try {
      for (let pages = 0; pages < PAGES_MAX; pages += 1) {
        const page = await this.people.blocked(PAGE, cursor);
        rows.push(...page.rows);
        cursor = page.next;
        if (cursor == null) break;
      }
    } catch (error) {
      problem = error;
    }
    // Another read began meanwhile.
    if (!isNewest()) return;
    this.problem = problem;
    if (!problem) [this.rows, this.first] = [rows, true];
    this.dispatchEvent(new CustomEvent('change'));
  }

  async block(memberId) {
    await this.people.block(memberId);
    await this.announce();
  }

  async unblock(memberId) {
    await this.people.unblock(memberId);
    await this.announce();
  }

  announce() {
    this.tabs.postMessage('changed');
    this.onChanged();
    return this.more();
  }
}
