// Amounts, prices, distances and opening hours as people read them.

import { locale, t } from './i18n.js';

const numbers = new Intl.NumberFormat(locale);
const won = new Intl.NumberFormat(locale, { style: 'currency', currency: 'KRW', maximumFractionDigits: 0 });
const amounts = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });

/** 1,200원, ₩1,200 */
export function wonText(amount) {
  return t('won', { number: numbers.format(amount), currency: won.format(amount) });
}

/** 0.8GB */
export function dataText(gigabytes) {
  return t('gigabytes', { number: amounts.format(gigabytes) });
}

/** +1,200원, −500원, 0원 */
export function changeText(amount) {
  if (amount === 0) return wonText(0);
  return `${amount < 0 ? '−' : '+'}${wonText(Math.abs(amount))}`;
}

/** 1시간 30분 */
export function durationText(minutes) {
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  if (hours === 0) return t('minutes', { count: rest });
  return rest === 0 ? t('hoursLong', { count: hours }) : t('hoursAndMinutes', { hours, minutes: rest });
}

/** 0.8 */
export function numberText(number) {
  return amounts.format(number);
}

/** 350m, 1.2km */
export function distanceText(km) {
  return km < 1 ? `${Math.round(km * 100) * 10}m` : `${amounts.format(km)}km`;
}

/** The time of day of a date-time, or of a time of day: 10:00. */
export function clockOf(text) {
  return text.includes('T') ? text.slice(11, 16) : text.slice(0, 5);
}

/** A spot that closes five minutes before midnight is one that never closes: equal times cannot be bought. */
export function isAllDay(from, to) {
  const [opens, closes] = [clockOf(from), clockOf(to)];
  return opens === closes || (opens === '00:00' && closes >= '23:55');
}

/** 10:00~22:00 */
export function hoursText(from, to) {
  return isAllDay(from, to) ? t('allDay') : t('hours', { from: clockOf(from), to: clockOf(to) });
}

/** The current state: open until a time, or when it opens. */
export function openText({ open, startTime, endTime }) {
  if (!open) return t('opensAt', { time: clockOf(startTime) });
  return isAllDay(startTime, endTime) ? t('openAllDay') : t('openUntil', { time: clockOf(endTime) });
}

const EARTH_KM = 6_370.986;

/** Kilometres along the sphere between two positions. */
export function distanceKm(one, other) {
  const rad = (degrees) => (degrees * Math.PI) / 180;
  const half = (degrees) => Math.sin(rad(degrees) / 2) ** 2;
  const cosines = Math.cos(rad(one.latitude)) * Math.cos(rad(other.latitude));
  const part = half(other.latitude - one.latitude) + cosines * half(other.longitude - one.longitude);
  return 2 * EARTH_KM * Math.asin(Math.min(1, Math.sqrt(part)));
}
