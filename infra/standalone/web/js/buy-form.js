// What is chosen to buy of an offer: an amount of mobile data, or start and length of a booking. Each form has its
// element, the price, and the order as the server takes it.

import { element } from './dom.js';
import { clockOf, dataText, durationText, wonText } from './format.js';
import { t } from './i18n.js';
import { amountOf } from './market-view.js';
import { round } from './mine.js';
import { dayOf, minutesAfter, nowOnWire, weekdayText } from './time.js';

const STEP = 0.1;

/** Amount that a split offer proposes at first. */
const AMOUNT_FIRST = 0.5;

const DAY_MINUTES = 24 * 60;

/** Days that a booking may begin ahead, today among them. */
const DAYS = 7;

/** Bookings are paid by started ten minutes. */
const STEP_MINUTES = 10;

/** Lengths to choose from, as far as the spot is open, and up to closing. */
const LENGTHS = [10, 20, 30, 40, 50, 60, 90, 120, 150, 180, 240, 300, 360, 480, 600, 720];

const LENGTH_FIRST = 60;

/** `offer` of the market; `changed()`: another price or amount is chosen. `null`: it is never open long enough. */
export function buyForm(offer, changed) {
  return offer.kind === 'data' ? dataForm(offer, changed) : bookingForm(offer, changed);
}

function dataForm(offer, changed) {
  const { detail, order } = offer;
  const units = (amount) => Math.round(amount * 10);
  const amountNow = () => (detail.splitType ? Math.min(order.amount, detail.remainAmount) : detail.remainAmount);
  order.amount ??= Math.min(detail.remainAmount, AMOUNT_FIRST);
  const price = () => (detail.splitType ? units(amountNow()) * detail.pricePer100MB : detail.price);
  const shown = element('output', { class: 'buy-shown', for: 'buy-amount' });
  const slider = element('input', {
    type: 'range', id: 'buy-amount', class: 'range', min: STEP, max: detail.remainAmount, step: STEP, value: amountNow(), 'aria-label': t('buyAmount'),
  });
  const show = () => {
    shown.replaceChildren(amountOf(amountNow(), 'buy-number'), element('strong', { class: 'buy-price' }, wonText(price())));
    slider.setAttribute('aria-valuetext', `${dataText(amountNow())}, ${wonText(price())}`);
  };
  slider.oninput = () => {
    order.amount = round(Number(slider.value));
    show();
    changed();
  };
  show();
  return {
    node: element('div', { class: 'buy-choice' }, shown, detail.splitType ? slider : null),
    path: 'mobile-data/default',
    price,
    amount: amountNow,
    what: () => dataText(amountNow()),
    order: () => ({ productId: detail.productId, mobileDataId: detail.itemId, dataAmount: detail.splitType ? amountNow() : null }),
    settle: () => {},
  };
}

function bookingForm(offer, changed) {
  const { kind, detail, order } = offer;
  const days = Array.from({ length: DAYS }, (_, nth) => dayOf(nowOnWire(Date.now() + nth * DAY_MINUTES * 60_000)));
  const open = days.filter((day) => startsOf(day, detail).length > 0);
  if (open.length === 0) return null;
  if (!open.includes(order.day)) order.day = open[0];
  const day = chooser('buy-day', t('buyDay'), () => choose('day', day.value));
  const start = chooser('buy-start', t('buyStart'), () => choose('start', start.value));
  const length = chooser('buy-length', t('buyLength'), () => choose('length', Number(length.value)));
  const shown = element('output', { class: 'buy-shown' });

  const startAt = () => order.fixed ?? startOf(order.day, order.start);
  const price = () => Math.ceil(order.length / STEP_MINUTES) * detail.price;
  const choose = (name, value) => {
    order[name] = value;
    order.fixed = null;
    show();
    changed();
  };
  const show = () => {
    const starts = startsOf(order.day, detail);
    if (!starts.includes(order.start)) order.start = starts[0];
    const lengths = lengthsOf(startOf(order.day, order.start), detail);
    if (!lengths.includes(order.length)) order.length = lengths.includes(LENGTH_FIRST) ? LENGTH_FIRST : lengths.at(-1);
    fill(day, open.map((one) => [one, dayName(one, days)]), order.day);
    fill(start, starts.map((one) => [one, one === NOW ? t('buyNow') : one]), order.start);
    fill(length, lengths.map((one) => [one, durationText(one)]), order.length);
    const from = startAt();
    const hours = t('hours', { from: clockOf(from), to: clockOf(minutesAfter(from, order.length)) });
    shown.replaceChildren(element('span', { class: 'buy-hours' }, hours), element('strong', { class: 'buy-price' }, wonText(price())));
  };
  show();
  return {
    node: element('div', { class: 'buy-choice' }, shown, element('div', { class: 'buy-selects' }, day, start, length)),
    path: kind,
    price,
    amount: () => 0,
    what: () => t('bookingOf', { title: detail.title, duration: durationText(order.length) }),
    order: () => {
      // A retry sends the same start, also where that was "now".
      order.fixed = startAt();
      return { productId: detail.productId, [`${kind}Id`]: detail.itemId, startTime: order.fixed, endTime: minutesAfter(order.fixed, order.length) };
    },
    /** The outcome of the order is certain. */
    settle: () => (order.fixed = null),
  };
}

/** The start that is the next minute. */
const NOW = 'now';

/** The times of a day at which a booking of ten minutes can begin. */
function startsOf(day, spot) {
  const now = nowOnWire();
  const times = Array.from({ length: DAY_MINUTES / STEP_MINUTES }, (_, nth) => clock(nth * STEP_MINUTES));
  const isToday = day === dayOf(now);
  const starts = times.filter((time) => (!isToday || time > clockOf(now)) && leftAt(time, spot) >= STEP_MINUTES);
  const next = startOf(day, NOW);
  return isToday && dayOf(next) === day && leftAt(clockOf(next), spot) >= STEP_MINUTES ? [NOW, ...starts] : starts;
}

function startOf(day, start) {
  return start === NOW ? minutesAfter(nowOnWire(), 1) : `${day}T${start}:00`;
}

function lengthsOf(start, spot) {
  // Start and end of a booking must differ in their time of day.
  const max = Math.min(leftAt(clockOf(start), spot), DAY_MINUTES - STEP_MINUTES);
  const whole = max - (max % STEP_MINUTES);
  const lengths = LENGTHS.filter((length) => length < whole);
  return whole > 0 ? [...lengths, whole] : lengths;
}

/** Minutes until the spot closes; 0 where it is closed. */
function leftAt(time, { startTime, endTime }) {
  const [opens, closes, at] = [startTime, endTime, time].map((text) => minutesOf(clockOf(text)));
  const span = (closes - opens + DAY_MINUTES) % DAY_MINUTES || DAY_MINUTES;
  const passed = (at - opens + DAY_MINUTES) % DAY_MINUTES;
  return opens === closes ? DAY_MINUTES : Math.max(0, span - passed);
}

function minutesOf(time) {
  const [hours, minutes] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

function clock(minutes) {
  return [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0')).join(':');
}

function dayName(day, [today, tomorrow]) {
  if (day === today) return t('today');
  return day === tomorrow ? t('tomorrow') : weekdayText(day);
}

function chooser(id, label, onchange) {
  return element('select', { id, class: 'choice buy-select', 'aria-label': label, onchange });
}

function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => element('option', { value, selected: value === chosen }, text)));
}
