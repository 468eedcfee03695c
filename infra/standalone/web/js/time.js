// Times as people read them. The wire has Korean local time without an offset, such as
// 2025-08-07T12:34:56.789; it is never converted, so it reads the same wherever the browser is.

const SEOUL_AHEAD_MS = 9 * 60 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;
const WEEKDAYS = ['일', '월', '화', '수', '목', '금', '토'];

/** This moment as the wire has it. */
export function nowOnWire(now = Date.now()) {
  return new Date(now + SEOUL_AHEAD_MS).toISOString().slice(0, 23);
}

/** 2025-08-07 */
export function dayOf(wire) {
  return wire.slice(0, 10);
}

/** 오후 12:34 */
export function clockText(wire) {
  const hour = Number(wire.slice(11, 13));
  return `${hour < 12 ? '오전' : '오후'} ${hour % 12 || 12}:${wire.slice(14, 16)}`;
}

/** 2025년 8월 7일 목요일 */
export function dayText(wire) {
  const [year, month, day] = dayOf(wire).split('-').map(Number);
  const weekday = WEEKDAYS[new Date(Date.UTC(year, month - 1, day)).getUTCDay()];
  return `${year}년 ${month}월 ${day}일 ${weekday}요일`;
}

/** What a list has room for: the time today, else the day. */
export function shortText(wire, now = Date.now()) {
  const today = dayOf(nowOnWire(now));
  const day = dayOf(wire);
  if (day === today) return clockText(wire);
  if (day === dayOf(nowOnWire(now - DAY_MS))) return '어제';
  const [year, month, date] = day.split('-').map(Number);
  return day.slice(0, 4) === today.slice(0, 4) ? `${month}월 ${date}일` : `${year}. ${month}. ${date}.`;
}

/** How long ago that was, in milliseconds. */
export function ageMs(wire, now = Date.now()) {
  return now - (Date.parse(`${wire}Z`) - SEOUL_AHEAD_MS);
}
