// The button that mutes the open room: no push of its messages for a time. They arrive as before.

import { byId, element, icon } from './dom.js';
import { note } from './dialog.js';
import { describe } from './errors.js';
import { t } from './i18n.js';
import { MUTE_MINUTES_MAX } from './preferences.js';
import { ageMs, clockText, shortText } from './time.js';

const HOUR = 60;

/** In minutes. */
const TIMES = [
  [HOUR, 'muteHour'],
  [8 * HOUR, 'muteHours'],
  [7 * 24 * HOUR, 'muteWeek'],
  [MUTE_MINUTES_MAX, 'muteAlways'],
];

/** A mute that lasts longer than this was chosen to last until it is ended. */
const ALWAYS_MS = 90 * 24 * HOUR * 60_000;

export class MuteView {
  constructor(preferences, chat) {
    this.preferences = preferences;
    this.chat = chat;
    this.button = byId('mute');
    this.button.onclick = () => this.ask();
    preferences.addEventListener('change', () => this.render());
    chat.addEventListener('change', ({ detail }) => detail === 'open' && this.render());
    this.render();
  }

  get until() {
    return this.preferences.mutedUntil(this.chat.openId);
  }

  render() {
    const { until } = this;
    const text = until ? muteText(until) : t('mute');
    this.button.replaceChildren(icon(until ? 'muted' : 'bell'));
    this.button.title = text;
    this.button.setAttribute('aria-label', text);
    this.button.setAttribute('aria-pressed', String(until != null));
  }

  ask() {
    const roomId = this.chat.openId;
    const act = (change) => async () => {
      dialog.close();
      await change().catch((error) => note(describe(error)));
    };
    const times = TIMES.map(([minutes, text]) =>
      element('button', { type: 'button', class: 'button', 'data-minutes': minutes, onclick: act(() => this.preferences.mute(roomId, minutes)) }, t(text)),
    );
    const unmute = element('button', { type: 'button', class: 'button', id: 'unmute', onclick: act(() => this.preferences.unmute(roomId)) }, t('unmute'));
    const dialog = element(
      'dialog',
      { class: 'dialog', 'aria-labelledby': 'mute-title', 'aria-describedby': 'mute-text' },
      element('h2', { id: 'mute-title' }, t('mute')),
      element('p', { id: 'mute-text' }, this.until ? muteText(this.until) : t('muteWhat')),
      element('div', { class: 'mute-times' }, ...(this.until ? [unmute] : times)),
      element('div', { class: 'dialog-end' }, element('button', { type: 'button', class: 'button', onclick: () => dialog.close() }, t('cancel'))),
    );
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
}

/** Until when a room is muted. */
export function muteText(until) {
  if (-ageMs(until) > ALWAYS_MS) return t('mutedAlways');
  const day = shortText(until);
  const clock = clockText(until);
  return t('mutedUntil', { time: day === clock ? clock : `${day} ${clock}` });
}
