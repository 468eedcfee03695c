// View of the notifications: the bell with its count, the panel with the list, and a notice of each new one.

import { byId, element, icon, reconcile, skeletons } from './dom.js';
import { note } from './dialog.js';
import { describe } from './errors.js';
import { t } from './i18n.js';
import { hrefOf, talkOf } from './notification-target.js';
import { agoText } from './time.js';

/** How long the notice of a new notification stays; the list has it for good. */
const TOAST_MS = 6_000;

/** How long ago something was is shown to the minute. */
const AGE_EVERY_MS = 60_000;

const ICONS = { trade: 'cash', product: 'tag', wifi: 'wifi', cash: 'cash', chat: 'chat' };

export class NotificationsView {
  /** `ask(productId)` opens the conversation with the seller of an offer. */
  constructor(notifications, chat, { ask }) {
    this.notifications = notifications;
    this.chat = chat;
    this.ask = ask;
    this.panel = byId('notifications');
    this.bell = byId('bell');
    this.toasts = 0;
    byId('notifications-close').append(icon('close'));
    byId('notifications-close').onclick = () => this.close();
    this.bell.onclick = () => (this.isOpen ? this.close() : this.open());
    this.panel.addEventListener('keydown', ({ key }) => key === 'Escape' && this.close());
    document.addEventListener('pointerdown', ({ target }) => {
      if (this.isOpen && !this.panel.contains(target) && !this.bell.contains(target)) this.close({ focus: false });
    });
    window.addEventListener('hashchange', () => this.close({ focus: false }));
    notifications.addEventListener('change', () => this.render());
    // Conversations that belong to notifications may be new.
    chat.addEventListener('change', ({ detail }) => detail === 'rooms' && this.render());
    notifications.addEventListener('ring', ({ detail }) => this.ring(detail));
    setInterval(() => this.isOpen && this.render(), AGE_EVERY_MS);
    this.render();
  }

  get isOpen() {
    return this.notifications.isOpen;
  }

  open() {
    this.hideToast();
    this.panel.hidden = false;
    this.notifications.open();
    this.chat.refreshSoon();
    byId('notifications-title').focus({ preventScroll: true });
  }

  /** The focus returns to the bell, unless it goes elsewhere. */
  close({ focus = true } = {}) {
    if (!this.isOpen) return;
    this.panel.hidden = true;
    this.notifications.close();
    if (focus) this.bell.focus();
  }

  render() {
    this.renderBell();
    if (!this.isOpen) return;
    const list = byId('notification-list');
    list.setAttribute('aria-busy', String(!this.notifications.loaded && !this.notifications.problem));
    reconcile(list, this.rows());
  }

  renderBell() {
    const { unread } = this.notifications;
    const count = unread > 99 ? '99+' : String(unread);
    const badge = unread > 0 ? element('span', { class: 'badge', 'aria-hidden': 'true' }, count) : null;
    const text = unread > 0 ? t('notificationsUnread', { count }) : t('notifications');
    this.bell.replaceChildren(...[icon('bell'), element('span', { class: 'bell-name' }, t('notifications')), badge].filter(Boolean));
    this.bell.setAttribute('aria-label', text);
    this.bell.setAttribute('aria-expanded', String(this.isOpen));
  }

  rows() {
    const { rows, loaded, complete, problem, loading } = this.notifications;
    const plain = (key, make) => ({ key, version: key, make });
    const end = (key, text, button) => {
      const more = () => (loaded ? this.notifications.more() : this.notifications.open());
      return plain(key, () => element('li', { class: 'list-end', role: 'status' }, text, element('button', { type: 'button', class: 'action', id: 'notifications-more', onclick: more }, button)));
    };
    if (!loaded && !problem) return skeletons(4, 'notification-row').map((node, nth) => plain(`skeleton-${nth}`, () => node));
    const all = rows.map((row) => this.row(row));
    if (problem) all.push(end(`problem ${describe(problem)}`, describe(problem), t('tryAgain')));
    else if (rows.length === 0) all.push(plain('none', () => element('li', { class: 'list-end' }, t('noNotifications'))));
    else if (!complete && !loading) all.push(end('more', '', t('more')));
    return all;
  }

  row(row) {
    const ago = agoText(row.createdAt);
    const talk = this.talk(row);
    return { key: row.id, version: [row.read, ago, talk?.text].join(' '), make: () => this.make(row, ago, talk) };
  }

  make(row, ago, talk) {
    const href = hrefOf(row);
    const texts = element(
      'span',
      { class: 'notification-texts' },
      element('strong', {}, row.title),
      element('span', {}, row.body),
      element('span', { class: 'notification-age' }, ago),
    );
    const fresh = row.read ? null : element('span', { class: 'notification-new' }, element('span', { class: 'hidden' }, t('unreadOne')));
    const emblem = element('span', { class: 'mine-icon' }, icon(emblemOf(row.kind)));
    const attributes = { class: 'notification-main', 'data-kind': row.kind };
    // Also where the address is shown already.
    const main = href ? element('a', { ...attributes, href, onclick: () => this.close({ focus: false }) }, emblem, texts, fresh) : element('div', attributes, emblem, texts, fresh);
    const remove = element('button', { type: 'button', class: 'icon-button notification-delete', 'aria-label': t('deleteOf', { title: row.title }), onclick: () => this.delete(row.id) }, icon('trash'));
    const chat = talk ? element('button', { type: 'button', class: 'action notification-talk', onclick: () => this.go(talk) }, talk.text) : null;
    return element('li', { class: 'notification-row', 'data-notification': row.id, 'data-read': String(row.read) }, main, remove, chat);
  }

  /** The conversation that belongs to it: a buyer's is opened, a seller's is there or is not. */
  talk(row) {
    const talk = talkOf(row);
    if (!talk || talk.productIds.length !== 1) return null;
    const [productId] = talk.productIds;
    if (talk.buyerId == null) return { text: t('askSeller'), productId };
    const room = this.chat.rooms.list().find((one) => one.productId === productId && one.otherId === talk.buyerId);
    return room ? { text: t('talkToBuyer'), roomId: room.id } : null;
  }

  async go({ productId, roomId }) {
    try {
      if (roomId) location.hash = `#/room/${roomId}`;
      else await this.ask(productId);
      this.close({ focus: false });
    } catch (error) {
      note(describe(error));
    }
  }

  async delete(id) {
    const rows = [...byId('notification-list').querySelectorAll('[data-notification]')];
    const at = rows.findIndex((row) => row.dataset.notification === String(id));
    const next = rows[at + 1] ?? rows[at - 1];
    try {
      await this.notifications.delete(id);
      (next?.querySelector('.notification-delete') ?? byId('notifications-title')).focus();
    } catch (error) {
      note(describe(error));
    }
  }

  // ---- a new one -----------------------------------------------------------------------------

  ring(row) {
    this.bell.classList.remove('rings');
    requestAnimationFrame(() => this.bell.classList.add('rings'));
    if (this.isOpen) return;
    this.toasts += 1;
    const more = this.toasts > 1 ? element('span', { class: 'toast-more' }, t('andMore', { count: this.toasts - 1 })) : null;
    const texts = [icon(emblemOf(row.kind)), element('span', { class: 'toast-texts' }, element('strong', {}, row.title), element('span', {}, row.body), more)];
    const href = hrefOf(row);
    const content = href ? element('a', { class: 'toast-main', href, onclick: () => this.hideToast() }, ...texts) : element('div', { class: 'toast-main' }, ...texts);
    const close = element('button', { type: 'button', class: 'icon-button', 'aria-label': t('close'), onclick: () => this.hideToast() }, icon('close'));
    const toast = byId('toast');
    toast.replaceChildren(content, close);
    toast.classList.add('shown');
    this.hideLater();
  }

  /** Not while somebody is at it. */
  hideLater() {
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => (byId('toast').matches(':hover, :focus-within') ? this.hideLater() : this.hideToast()), TOAST_MS);
  }

  hideToast() {
    this.toasts = 0;
    clearTimeout(this.toastTimer);
    byId('toast').classList.remove('shown');
    byId('toast').replaceChildren();
  }
}

function emblemOf(kind) {
  const [area] = kind.split('.');
  return Object.hasOwn(ICONS, area) ? ICONS[area] : 'bell';
}
