// Booked time that is running now, by the alarms of the member: START shows it, END or its end removes it. The server
// repeats the START of a running booking when a page subscribes, so a reload keeps it.

import { minutesAfter, nowOnWire } from './time.js';

const DAY_MINUTES = 24 * 60;

/** The server's END may be late; the time is over without it. */
const CHECK_EVERY_MS = 1_000;

export class Bookings extends EventTarget {
  constructor(connection, memberId) {
    super();
    this.connection = connection;
    this.memberId = memberId;
    /** By trade: `{tradeId, endsAt}`. */
    this.running = new Map();
  }

  start() {
    this.connection.subscribe(`/sub/alarm/${this.memberId}`, (body) => this.onAlarm(JSON.parse(body)));
    setInterval(() => this.expire(), CHECK_EVERY_MS);
  }

  /** Those that run, the one that ends first before the others. */
  list() {
    return [...this.running.values()].sort((one, other) => one.endsAt.localeCompare(other.endsAt));
  }

  onAlarm({ tradeId, eventState, startTime, endTime }) {
    if (eventState === 'START') this.running.set(tradeId, { tradeId, endsAt: endOf(startTime, endTime) });
    else this.running.delete(tradeId);
    this.expire();
  }

  /** Once a second: what is left changes. */
  expire() {
    const now = nowOnWire();
    for (const { tradeId, endsAt } of this.running.values()) if (endsAt <= now) this.running.delete(tradeId);
    this.dispatchEvent(new CustomEvent('change'));
  }
}

/** Alarms have times of day only: a booking that ends before it starts ends tomorrow, or began yesterday. */
export function endOf(startTime, endTime, now = nowOnWire()) {
  const end = `${now.slice(0, 10)}T${endTime}`;
  const isOvernight = endTime <= startTime;
  return isOvernight && now.slice(11, 19) >= startTime ? minutesAfter(end, DAY_MINUTES) : end;
}
