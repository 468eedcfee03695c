// Times as people read them. The wire has Korean local time without an offset, such as
// 2025-08-07T12:34:56.789; it is never converted, so it reads the same wherever the browser is.

import { locale, t } from './i18n.js';

const SEOUL_AHEAD_MS = 9 * 60 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;
const MINUTE_MS = 60 * 1000;

/** Of the wire's local time, which is read as UTC. */
const format = (options) => new Intl.DateTimeFormat(locale, { timeZone: 'UTC', ...options });
const FULL_DAY = format({ year: 'numeric', month: 'long', day: 'numeric', weekday: 'long' });
const DATE = format({ year: 'numeric', month: 'long', day: 'numeric' });
const DAY_OF_YEAR = format({ month: locale === 'ko-KR' ? 'long' : 'short', day: 'numeric' });
const WEEKDAY = format({ month: locale === 'ko-KR' ? 'long' : 'short', day: 'numeric', weekday: 'short' });
const MONTH = format({ year: 'numeric', month: 'long' });
const SHORT_DATE = format({ year: 'numeric', month: 'short', day: 'numeric' });

const RELATIVE = new Intl.RelativeTimeFormat(locale);

/** This moment as the wire has it. */
export function nowOnWire(now = Date.now()) {
  return new Date(now + SEOUL_AHEAD_MS).toISOString().slice(0, 23);
}

/** 2025-08-07 */
export function dayOf(wire) {
  return wire.slice(0, 10);
}

/** 오후 12:34, 12:34 PM */
export function clockText(wire) {
  const hour = Number(wire.slice(11, 13));
  return t(hour < 12 ? 'morning' : 'afternoon', { time: `${hour % 12 || 12}:${wire.slice(14, 16)}` });
}

/** 2025년 8월 7일 목요일 */
export function dayText(wire) {
  return FULL_DAY.format(dateOf(wire));
}

/** 2025년 8월 7일 */
export function dateText(wire) {
  return DATE.format(dateOf(wire));
}

/** Short form for lists: the time today, else the day. */
export function shortText(wire, now = Date.now()) {
  const today = dayOf(nowOnWire(now));
  const day = dayOf(wire);
  if (day === today) return clockText(wire);
  if (day === dayOf(nowOnWire(now - DAY_MS))) return t('yesterday');
  return (day.slice(0, 4) === today.slice(0, 4) ? DAY_OF_YEAR : SHORT_DATE).format(dateOf(wire));
}

/** 8월 7일 (목) */
export function weekdayText(wire) {
  return WEEKDAY.format(dateOf(wire));
}

/** 2025년 8월, of `2025-08` */
export function monthText(month) {
  return MONTH.format(dateOf(`${month}-01`));
}

/** The month so many months later: `2025-08`. */
export function monthAfter(month, count) {
  const [year, number] = month.split('-').map(Number);
  return new Date(Date.UTC(year, number - 1 + count, 1)).toISOString().slice(0, 7);
}

/** So many minutes later, to the minute: 2025-08-07T12:34:00 */
export function minutesAfter(wire, minutes) {
  const at = Date.parse(`${wire.slice(0, 16)}:00Z`) + minutes * 60_000;
  return new Date(at).toISOString().slice(0, 19);
}

/** How long ago that was, in milliseconds. */
export function ageMs(wire, now = Date.now()) {
  return now - (Date.parse(`${wire}Z`) - SEOUL_AHEAD_MS);
}

/** 방금, 5분 전, 3시간 전; from a week on the day. */
export function agoText(wire, now = Date.now()) {
  const minutes = Math.floor(ageMs(wire, now) / MINUTE_MS);
  if (minutes < 1) return t('justNow');
  if (minutes < 60) return RELATIVE.format(-minutes, 'minute');
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return RELATIVE.format(-hours, 'hour');
  const days = Math.floor(hours / 24);
  return days < 7 ? RELATIVE.format(-days, 'day') : shortText(wire, now);
}

function dateOf(wire) {
  return new Date(`${dayOf(wire)}T00:00:00Z`);
}
