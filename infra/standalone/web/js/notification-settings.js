// Settings of notifications: what the member wants of each class, push to this browser, and muted rooms.

import { element } from './dom.js';
import { note } from './dialog.js';
import { describe } from './errors.js';
import { t } from './i18n.js';
import { muteText } from './mute-view.js';

const CLASSES = { chat: 'classChat', trade: 'classTrade', marketing: 'classMarketing' };

const CHANNELS = { push: 'channelPush', live: 'channelLive', none: 'channelNone' };

/** What there is to say of push to this browser, and the button. */
const PUSH = {
  on: ['pushOn', 'pushTurnOff'],
  off: ['pushOff', 'pushTurnOn'],
  denied: ['pushDenied', null],
  insecure: ['pushInsecure', null],
  unsupported: ['pushUnsupported', null],
  unavailable: ['pushUnavailable', null],
};

export class NotificationSettings {
  constructor(preferences, push, rooms) {
    this.preferences = preferences;
    this.push = push;
    this.rooms = rooms;
    this.card = element('section', { class: 'card', id: 'notification-settings', 'aria-labelledby': 'notification-settings-title' });
    preferences.addEventListener('change', () => this.render());
    push.addEventListener('change', () => this.render());
    this.render();
  }

  /** The member may have changed them elsewhere. */
  open() {
    this.preferences.load();
    this.push.check();
  }

  render() {
    const focused = this.card.contains(document.activeElement) ? document.activeElement.id : null;
    this.card.replaceChildren(
      element('h3', { id: 'notification-settings-title' }, t('notificationSettings')),
      ...this.classes(),
      this.pushPart(),
      ...this.mutes(),
    );
    if (focused) document.getElementById(focused)?.focus();
  }

  classes() {
    const { chosen, problem } = this.preferences;
    if (!chosen && problem) {
      const again = element('button', { type: 'button', class: 'action', onclick: () => this.preferences.load() }, t('tryAgain'));
      return [element('p', { class: 'field-problem', role: 'alert' }, describe(problem)), again];
    }
    if (!chosen) return [element('p', { class: 'field-hint' }, t('loading'))];
    return Object.entries(CLASSES).map(([name, text]) => {
      const options = Object.entries(CHANNELS).map(([channel, label]) => element('option', { value: channel, selected: chosen[name] === channel }, t(label)));
      const id = `channel-${name}`;
      const select = element('select', { class: 'input', id, onchange: () => this.choose(name, select) }, ...options);
      return element('div', { class: 'setting' }, element('label', { for: id }, t(text)), select);
    });
  }

  async choose(name, select) {
    try {
      await this.preferences.choose(name, select.value);
      note(t('settingsSaved'));
    } catch (error) {
      note(describe(error));
      this.render();
    }
  }

  pushPart() {
    const { state, busy } = this.push;
    const [text, button] = PUSH[state];
    const act = () => this.switchPush(state === 'on' ? () => this.push.disable() : () => this.push.enable());
    return element(
      'div',
      { class: 'setting-push', 'data-push': state },
      element('p', { class: 'field-hint', role: 'status' }, t(text)),
      button ? element('button', { type: 'button', class: 'button', id: 'push-switch', disabled: busy, onclick: act }, t(button)) : null,
    );
  }

  async switchPush(act) {
    this.push.busy = true;
    this.render();
    try {
      await act();
    } catch (error) {
      note(error instanceof DOMException ? t('pushFailed') : describe(error));
    } finally {
      this.push.busy = false;
      this.render();
    }
  }

  mutes() {
    const muted = this.rooms.list().filter(({ id }) => this.preferences.mutedUntil(id));
    if (muted.length === 0) return [];
    const row = (room) =>
      element(
        'li',
        { class: 'setting', 'data-muted': room.id },
        element('span', {}, `${this.rooms.title(room)} · ${muteText(this.preferences.mutedUntil(room.id))}`),
        element('button', { type: 'button', class: 'action', id: `unmute-${room.id}`, onclick: () => this.preferences.unmute(room.id).catch((error) => note(describe(error))) }, t('unmute')),
      );
    return [element('h4', {}, t('mutedRooms')), element('ul', {}, ...muted.map(row))];
  }
}
