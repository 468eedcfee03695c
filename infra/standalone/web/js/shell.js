// Frame around the panes: menu, window title, and the state of the connection.

import { balanceLink, showBalance } from './balance.js';
import { avatar, byId, element, icon } from './dom.js';
import { t } from './i18n.js';
import { languageSwitch } from './profile-view.js';
import { route } from './route.js';
import { ADMIN } from './session.js';

/** A connection that is restored within this time is not reported as lost. */
const STATUS_AFTER_MS = 700;

const STATUS = { open: '', connecting: 'connecting', waiting: 'reconnecting', blocked: 'blocked', unauthorized: 'comeAgain' };

const PANES = ['market', 'chat', 'trades', 'mine', 'me', 'member', 'admin'];

const TITLES = { market: 'market', chat: 'chat', trades: 'tradesTitle', mine: 'myOffers', me: 'myPage', member: 'member', admin: 'admin' };

/** Where the focus goes when a pane opens, and when its detail does. */
const HEADS = {
  market: ['#market h1', '#offer h2'],
  chat: ['#chat h1', '#title'],
  trades: ['#trades h1', '#cash h2'],
  mine: ['#mine h1', '#mine-form h2'],
  me: ['#me h1', '#me-part h2'],
  member: ['#member h1', '#member h1'],
  admin: ['#admin h1', '#admin-detail h2'],
};

const MONEY_HEADS = ['#trades h1', '#money h2'];

export class Shell {
  constructor(chat, wallet, { leave }) {
    this.chat = chat;
    this.wallet = wallet;
    this.imageUrl = null;
    this.statusTimer = null;
    this.shown = null;
    /** Where a member's page was opened from. */
    this.before = '#/market/data';
    const text = t(chat.session.token ? 'leaveDemo' : 'leave');
    const button = byId('leave');
    button.replaceChildren(icon('leave'));
    button.title = text;
    button.setAttribute('aria-label', text);
    button.onclick = leave;
    byId('nav-language').replaceChildren(languageSwitch());
    byId('to-data').replaceChildren(icon('data'), t('newData'));
    byId('to-wifi').replaceChildren(icon('wifi'), t('newWifi'));
    for (const place of document.querySelectorAll('[data-balance]')) place.replaceWith(balanceLink(wallet));
    wallet.addEventListener('change', () => showBalance(document, wallet));
    this.loadPicture();
  }

  async loadPicture() {
    const info = await this.chat.api.member(this.chat.session.memberId).catch(() => null);
    if (info) this.showPicture(info.profileImageUrl);
  }

  showPicture(url) {
    this.imageUrl = url;
    this.render();
  }

  /** The member, as their own page has them. */
  showSelf({ profileImageUrl, role }) {
    if (role === ADMIN) this.showAdmin();
    this.showPicture(profileImageUrl);
  }

  /** The member is an administrator: the menu leads to their pages. */
  showAdmin() {
    const { session } = this.chat;
    if (session.isAdmin) return;
    session.isAdmin = true;
    this.render();
  }

  /** Shows the pane of this route; whether another one was shown before. */
  show(to) {
    for (const pane of PANES) byId(pane).hidden = to.pane !== pane;
    if (to.pane !== 'member') this.before = location.hash || this.before;
    byId('app').dataset.route = to.pane;
    byId('app').dataset.detail = String(to.detail);
    this.render();
    byId('offer').hidden = Boolean(to.scrap);
    byId('scrap').hidden = !to.scrap;
    byId('cash').hidden = Boolean(to.money);
    byId('money').hidden = !to.money;
    return this.shown?.pane !== to.pane || this.shown.part !== to.part;
  }

  render() {
    const { pane } = route();
    const { name } = this.chat.session;
    const unread = this.chat.rooms.list().reduce((sum, room) => sum + room.unread, 0);
    const count = unread > 99 ? '99+' : String(unread);
    const badge = unread > 0 ? element('span', { class: 'badge' }, element('span', { class: 'hidden' }, `${t('unreadMessages')} `), count) : null;
    link('market', pane, icon('market'), t('market'));
    link('chat', pane, icon('chat'), t('chat'), badge);
    link('trades', pane, icon('list'), t('tradesTitle'));
    link('mine', pane, icon('tag'), t('myOffers'));
    byId('to-admin').hidden = !this.chat.session.isAdmin;
    link('admin', pane, icon('shield'), t('admin'));
    link('me', pane, avatar(name, 'small', this.imageUrl), element('span', { class: 'nav-name' }, name));
    const title = [t(TITLES[pane]), name, t('appName')].join(' · ');
    document.title = unread > 0 ? `(${count}) ${title}` : title;
  }

  /** Moves the focus to the changed pane, except at the first render. */
  focus(to) {
    const before = this.shown;
    this.shown = to;
    const isSame = before && before.pane === to.pane && before.detail === to.detail && before.scrap === to.scrap && before.money === to.money && before.part === to.part && before.member === to.member && before.report === to.report;
    if (!before || isSame) return;
    if (to.pane === 'chat' && to.room) return; // There the focus is where one writes.
    const heads = to.money ? MONEY_HEADS : HEADS[to.pane];
    const head = document.querySelector(heads[Number(to.detail)]) ?? document.querySelector(heads[0]);
    head?.focus({ preventScroll: true });
  }

  showState(state) {
    const status = byId('status');
    document.body.dataset.state = state;
    status.textContent = STATUS[state] ? t(STATUS[state]) : '';
    if (state === 'open') {
      clearTimeout(this.statusTimer);
      this.statusTimer = null;
      status.hidden = true;
    } else {
      this.statusTimer ??= setTimeout(() => (status.hidden = false), STATUS_AFTER_MS);
    }
  }
}

function link(name, pane, ...content) {
  const made = byId(`to-${name}`);
  made.replaceChildren(...content.filter((part) => part != null));
  if (pane === name) made.setAttribute('aria-current', 'page');
  else made.removeAttribute('aria-current');
}
