// Stars: of a rating, and to choose one. A rating is 1.0 to 5.0 in steps of a half.

import { element } from './dom.js';
import { t } from './i18n.js';

export const RATING_MIN = 1;
export const RATING_MAX = 5;
const STEP = 0.5;

/** Where the choice begins; it counts only once something is chosen. */
const MIDDLE = 3;

/** Five stars, filled up to this rating; a mean is shown to the next half. */
export function stars(rating) {
  const label = t('starsOf', { stars: rating.toFixed(1) });
  return element('span', { class: 'stars', role: 'img', 'aria-label': label }, ...glyphs(rating));
}

function glyphs(rating) {
  const halves = Math.round(rating * 2);
  return Array.from({ length: RATING_MAX }, (_, nth) => {
    const fill = ['none', 'half', 'full'][Math.max(0, Math.min(2, halves - 2 * nth))];
    return element('span', { class: `star ${fill}`, 'aria-hidden': 'true' }, '★');
  });
}

/**
 * A rating to choose: a slider for keys and screen readers, and stars for pointers. `rating()` is `null` until something
 * is chosen.
 */
export function starChoice(id, chosen = null) {
  let rating = chosen;
  const shown = element('span', { class: 'star-glyphs', 'aria-hidden': 'true' });
  const text = element('output', { class: 'star-text', for: id, 'aria-live': 'off' });
  const slider = element('input', {
    type: 'range', id, class: 'star-slider', min: RATING_MIN, max: RATING_MAX, step: STEP, value: chosen ?? MIDDLE,
    'aria-label': t('reviewRating'), 'aria-describedby': `${id}-problem`,
  });
  const show = () => {
    const label = rating == null ? t('starsNone') : t('starsOf', { stars: rating.toFixed(1) });
    shown.replaceChildren(...glyphs(rating ?? 0));
    text.textContent = rating == null ? '' : rating.toFixed(1);
    slider.setAttribute('aria-valuetext', label);
  };
  const choose = (value) => {
    rating = Math.min(RATING_MAX, Math.max(RATING_MIN, value));
    slider.value = rating;
    slider.dispatchEvent(new Event('change'));
    show();
  };
  slider.addEventListener('input', () => choose(Number(slider.value)));
  const toPointer = ({ clientX }) => {
    const { left, width } = shown.getBoundingClientRect();
    choose(Math.ceil(((clientX - left) / width) * RATING_MAX * 2) / 2);
  };
  shown.addEventListener('pointerdown', (event) => {
    event.preventDefault();
    shown.setPointerCapture(event.pointerId);
    slider.focus();
    toPointer(event);
  });
  shown.addEventListener('pointermove', (event) => shown.hasPointerCapture(event.pointerId) && toPointer(event));
  show();
  return { node: element('div', { class: 'star-choice' }, slider, shown, text), input: slider, rating: () => rating };
}
