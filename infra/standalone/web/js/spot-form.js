// The form of a Wi-Fi spot.

import { withdrawButton } from './data-form.js';
import { element, icon } from './dom.js';
import { field, form, mark, priceInput, priceOf } from './form.js';
import { clockOf, isAllDay } from './format.js';
import { t } from './i18n.js';
import { PLACES } from './market.js';
import { PicturePicker } from './pictures.js';
import { dayOf, nowOnWire } from './time.js';

const TITLE_MAX = 30;
const CONTENT_MAX = 63;
const ADDRESS_MAX = 300;

/** Open all day: from midnight to five minutes before the next, since both must not be the same. */
const ALL_DAY = ['00:00', '23:55'];

const DAY_MS = 24 * 60 * 60 * 1000;

/** `detail` is the offer to be changed, or `null`. */
export function spotForm({ api, detail, path, done, remove }) {
  const text = (value, maxlength) => element('input', { type: 'text', class: 'input', maxlength, value: value ?? '', autocomplete: 'off' });
  const title = text(detail?.title, TITLE_MAX);
  const content = element('textarea', { class: 'input', rows: 2, maxlength: CONTENT_MAX }, detail?.content ?? '');
  const price = priceInput(detail?.price ?? '');
  const address = text(detail?.address, ADDRESS_MAX);
  const hours = hoursFields(detail);
  const position = positionFields(detail);
  const picker = new PicturePicker(api, detail?.imageUrls ?? []);

  const check = () => {
    const wrong = [
      mark(title, title.value.trim() ? '' : t('titleMissing')) ? null : title,
      mark(price, priceOf(price) ? '' : t('priceWrong')) ? null : price,
      hours.check(),
      mark(address, address.value.trim() ? '' : t('addressMissing')) ? null : address,
      position.check(),
    ];
    return wrong.find((one) => one) ?? null;
  };
  const send = async () => {
    const urls = await picker.finished();
    const fields = {
      price: priceOf(price),
      title: title.value.trim(),
      content: content.value.trim(),
      address: address.value.trim(),
      ...position.value(),
      ...hours.value(),
    };
    if (detail) await api.change(path, { ...fields, productId: detail.productId, imageUrls: urls });
    else await api.register(path, { ...fields, images: urls });
    done();
  };
  return form({
    fields: [
      field('spot-title', t('spotTitle'), title, t('charsMax', { max: TITLE_MAX })),
      field('spot-content', t('spotContent'), content, t('charsMax', { max: CONTENT_MAX })),
      field('spot-price', t('spotPrice'), price, t('spotPriceHint')),
      hours.element,
      field('spot-address', t('factAddress'), address, t('addressHint')),
      position.element,
      picker.element,
    ],
    submit: detail ? t('save') : t('register'),
    check,
    send,
    more: detail ? [withdrawButton(remove)] : [],
  });
}

/** Opening hours; a spot that closes after midnight closes on the next day. */
function hoursFields(detail) {
  const isDay = detail ? isAllDay(detail.startTime, detail.endTime) : false;
  const time = (value) => element('input', { type: 'time', class: 'input', step: 300, value, required: true });
  const from = time(detail ? clockOf(detail.startTime) : '10:00');
  const to = time(detail ? clockOf(detail.endTime) : '22:00');
  const allDay = element('input', { type: 'checkbox', id: 'spot-all-day', checked: isDay });
  const next = element('p', { class: 'field-hint', 'aria-live': 'polite' });
  const show = () => {
    for (const input of [from, to]) input.disabled = allDay.checked;
    next.textContent = !allDay.checked && to.value && to.value < from.value ? t('nextDay', { time: to.value }) : '';
  };
  for (const input of [from, to, allDay]) input.onchange = show;
  show();
  const made = element(
    'fieldset',
    { class: 'field' },
    element('legend', {}, t('factHours')),
    element('div', { class: 'pair' }, field('spot-from', t('from'), from), field('spot-to', t('to'), to)),
    element('label', { class: 'check' }, allDay, element('span', {}, t('allDay'))),
    next,
  );
  const problem = () => {
    if (allDay.checked) return '';
    if (!from.value || !to.value) return t('hoursMissing');
    return from.value === to.value ? t('hoursSame') : '';
  };
  return {
    element: made,
    check: () => (mark(to, problem()) ? null : to),
    value: () => {
      const [opens, closes] = allDay.checked ? ALL_DAY : [from.value, to.value];
      const [today, tomorrow] = [dayOf(nowOnWire()), dayOf(nowOnWire(Date.now() + DAY_MS))];
      return { startTime: `${today}T${opens}:00`, endTime: `${closes < opens ? tomorrow : today}T${closes}:00` };
    },
  };
}

/** Position: one of the list, the device's, or coordinates. */
function positionFields(detail) {
  const degrees = (value, max) => element('input', { type: 'number', class: 'input', step: 'any', min: -max, max, value, required: true });
  const start = detail ?? PLACES[0];
  const latitude = degrees(start.latitude, 90);
  const longitude = degrees(start.longitude, 180);
  const set = (at) => {
    latitude.value = Number(at.latitude.toFixed(6));
    longitude.value = Number(at.longitude.toFixed(6));
    mark(latitude, '');
  };
  const options = PLACES.map(({ name }, index) => element('option', { value: index }, t(name)));
  const near = element('select', { class: 'input' }, detail ? element('option', { value: '' }, t('placeKept')) : null, ...options);
  near.onchange = () => near.value !== '' && set(PLACES[near.value]);
  const locate = () => {
    const failed = () => mark(latitude, t('locateFailed'));
    if (!navigator.geolocation) failed();
    else navigator.geolocation.getCurrentPosition(({ coords }) => set(coords), failed, { timeout: 10_000 });
  };
  const button = element('button', { type: 'button', class: 'button', onclick: locate }, icon('pin'), t('locate'));
  const made = element(
    'fieldset',
    { class: 'field' },
    element('legend', {}, t('position')),
    field('spot-near', t('near'), near, t('nearHint')),
    button,
    element('div', { class: 'pair' }, field('spot-latitude', t('latitude'), latitude), field('spot-longitude', t('longitude'), longitude)),
  );
  const isWithin = (input, max) => input.value.trim() !== '' && Math.abs(Number(input.value)) <= max;
  return {
    element: made,
    check: () => {
      if (!mark(latitude, isWithin(latitude, 90) ? '' : t('degreesWrong', { max: 90 }))) return latitude;
      return mark(longitude, isWithin(longitude, 180) ? '' : t('degreesWrong', { max: 180 })) ? null : longitude;
    },
    value: () => ({ latitude: Number(latitude.value), longitude: Number(longitude.value) }),
  };
}
