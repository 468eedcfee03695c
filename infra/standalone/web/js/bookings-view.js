// Banner of the booked time that is running: until when, how much is left, and the way to the purchase.

import { byId, element, icon } from './dom.js';
import { clockOf } from './format.js';
import { t } from './i18n.js';
import { tradesHref } from './route.js';
import { ageMs } from './time.js';

export class BookingsView {
  constructor(bookings) {
    this.bookings = bookings;
    this.shown = '';
    bookings.addEventListener('change', () => this.render());
  }

  render() {
    const list = this.bookings.list();
    const banner = byId('bookings');
    const shown = list.map(({ tradeId, endsAt }) => `${tradeId} ${endsAt}`).join();
    if (shown !== this.shown) {
      this.shown = shown;
      banner.hidden = list.length === 0;
      banner.replaceChildren(...list.map(row));
    }
    for (const { tradeId, endsAt } of list) {
      banner.querySelector(`[data-booking="${tradeId}"] .booking-left`).textContent = t('timeLeft', { time: leftText(endsAt) });
    }
  }
}

function row({ tradeId, endsAt }) {
  return element(
    'a',
    { class: 'booking', href: tradesHref({ trade: tradeId }), 'data-booking': tradeId },
    icon('wifi'),
    element('span', {}, t('bookingUntil', { time: clockOf(endsAt) })),
    // Not read out at each change.
    element('span', { class: 'booking-left', role: 'timer', 'aria-live': 'off' }),
  );
}

/** 5:09, 1:05:09 */
function leftText(endsAt) {
  const seconds = Math.max(0, Math.ceil(-ageMs(endsAt) / 1000));
  const pad = (number) => String(number).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}` : `${minutes}:${pad(seconds % 60)}`;
}
