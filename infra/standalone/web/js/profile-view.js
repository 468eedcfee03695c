// Profile page of the member: public data, plan, this month, and the language.

import { avatar, byId, element, icon } from './dom.js';
import { note } from './dialog.js';
import { describe } from './errors.js';
import { dataText, wonText } from './format.js';
import { LANGUAGES, choose, language, t } from './i18n.js';
import { limitsOf } from './mine-view.js';
import { MONTH_MAX, round } from './mine.js';
import { upload } from './pictures.js';
import { adminHref, meHref } from './route.js';
import { ADMIN } from './session.js';
import { dateText } from './time.js';

export class ProfileView {
  /** `settings` has a card of its own; `shown(self)`: what the server has of the member; `leave()`: out of this session. */
  constructor(mine, chat, { settings, shown, leave }) {
    this.mine = mine;
    this.settings = settings;
    this.chat = chat;
    this.api = chat.api;
    this.onShown = shown;
    this.leave = leave;
    this.self = null;
    this.bought = null;
    this.problem = null;
    mine.addEventListener('change', ({ detail }) => detail === 'limits' && this.self && this.render());
  }

  /** What the page shows is read anew each time it is opened; until then the last state stays. */
  async open() {
    this.render();
    this.mine.loadLimits();
    this.settings.open();
    try {
      [this.self, this.bought] = await Promise.all([this.api.self(), this.api.monthly('buying-data')]);
      this.problem = null;
      this.onShown(this.self);
    } catch (error) {
      this.problem = error;
    }
    this.render();
  }

  render() {
    byId('profile').replaceChildren(...this.content());
  }

  content() {
    if (this.problem && !this.self) {
      const again = element('button', { type: 'button', class: 'action', onclick: () => this.open() }, t('tryAgain'));
      return [element('div', { class: 'offer-note', role: 'alert' }, element('p', {}, describe(this.problem)), again), this.languageCard()];
    }
    return [this.person(), element('div', { class: 'card-column' }, this.planCard(), this.languageCard(), this.settings.card), element('div', { class: 'card-column' }, this.monthCard(), this.accountCard())];
  }

  person() {
    const { self } = this;
    const { name } = this.chat.session;
    const problem = element('p', { class: 'field-problem', role: 'alert' });
    const input = element('input', { type: 'file', accept: 'image/*', class: 'hidden', id: 'profile-picture', onchange: () => this.setPicture(input, problem) });
    const facts = self
      ? [
          [t('role'), t(`role${self.role}`)],
          [t('joinedLabel'), dateText(self.joinedAt)],
          [t('ratingLabel'), self.reviewCount > 0 ? t('rating', { stars: self.averageRating.toFixed(1), count: self.reviewCount }) : t('noReviews')],
          [t('tradesLabel'), t('trades', { count: self.tradeCount })],
          [t('loginLabel'), [t(`provider${self.provider}`), self.email].filter(Boolean).join(' · ')],
        ]
      : [];
    const leaveText = t(this.chat.session.token ? 'leaveDemo' : 'leave');
    return element(
      'section',
      { class: 'card person', 'aria-labelledby': 'profile-name' },
      element('div', { class: 'person-head' }, avatar(name, 'large', self?.profileImageUrl), element('h2', { id: 'profile-name' }, name)),
      element('label', { class: 'button upload' }, input, icon('camera'), t('changePicture')),
      problem,
      self ? factList(facts) : element('div', { class: 'skeleton facts-skeleton', 'aria-hidden': 'true' }),
      element('button', { type: 'button', class: 'button', id: 'profile-leave', onclick: this.leave }, icon('leave'), leaveText),
    );
  }

  async setPicture(input, problem) {
    const [file] = input.files;
    if (!file) return;
    problem.textContent = t('sending');
    try {
      const [url] = await upload(this.api, [file]);
      await this.api.setProfileImage(url);
      note(t('pictureChanged'));
      await this.open();
    } catch (error) {
      problem.textContent = describe(error);
    }
  }

  planCard() {
    const limits = this.mine.limits;
    const plan = limits?.plan;
    const rows = plan
      ? factList([
          [t('planName'), plan.name],
          [t('planLeft'), dataText(plan.currentDataAmount)],
          [t('planAll'), dataText(plan.providingDataAmount)],
          [t('planPrice'), t('perMonth', { price: wonText(plan.monthlyPrice) })],
        ])
      : element('p', { class: 'field-hint' }, limits ? t('error3011') : t('loading'));
    const bar = plan ? element('progress', { max: plan.providingDataAmount, value: plan.currentDataAmount, 'aria-label': t('planLeft') }) : null;
    return element('section', { class: 'card', id: 'plan', 'aria-labelledby': 'plan-title' }, element('h3', { id: 'plan-title' }, t('plan')), bar, rows);
  }

  monthCard() {
    const { limits } = this.mine;
    const bought = this.bought ?? 0;
    const rows = limits
      ? [
          [t('monthRegistered'), dataText(limits.registered)],
          [t('monthSold'), dataText(limits.sold)],
          [t('monthBought'), dataText(bought)],
          [t('monthBuyLeft'), dataText(round(MONTH_MAX - bought))],
        ]
      : [];
    return element(
      'section',
      { class: 'card', id: 'month', 'aria-labelledby': 'month-title' },
      element('h3', { id: 'month-title' }, t('thisMonth')),
      element('ul', { class: 'limits' }, ...limitsOf(limits).slice(0, 1)),
      factList(rows),
      element('a', { class: 'button', href: '#/mine' }, icon('tag'), t('toMyOffers')),
    );
  }

  /** Parts with an address of their own. */
  accountCard() {
    const way = (href, image, text) => element('li', {}, element('a', { class: 'way', href }, icon(image), element('span', {}, text), icon('next')));
    const isAdmin = this.self?.role === ADMIN;
    return element(
      'section',
      { class: 'card', id: 'account', 'aria-labelledby': 'account-title' },
      element('h3', { id: 'account-title' }, t('account')),
      element(
        'ul',
        { class: 'ways' },
        way(meHref('received'), 'star', t('reviewsReceived')),
        way(meHref('written'), 'edit', t('reviewsWritten')),
        way(meHref('blocked'), 'ban', t('blockedMembers')),
        isAdmin ? way(adminHref(), 'shield', t('admin')) : null,
        way(meHref('close'), 'trash', t('closeAccount')),
      ),
    );
  }

  languageCard() {
    const save = async (other) => {
      // The server writes notices in this language, too; that it cannot now must not stop the page.
      await this.api.setLanguage(other).catch(() => {});
      choose(other);
    };
    return element(
      'section',
      { class: 'card', 'aria-labelledby': 'language-title' },
      element('h3', { id: 'language-title' }, t('language')),
      languageSwitch(save),
      element('p', { class: 'field-hint' }, t('languageHint')),
    );
  }
}

/** A button for each language, in its own words. */
export function languageSwitch(save = choose) {
  const buttons = Object.entries(LANGUAGES).map(([key, name]) =>
    element('button', { type: 'button', class: 'filter', lang: key, 'data-language': key, 'aria-pressed': String(key === language), onclick: () => key !== language && save(key) }, name),
  );
  return element('div', { class: 'languages', role: 'group', 'aria-label': t('language') }, ...buttons);
}

function factList(pairs) {
  const rows = pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)));
  return element('dl', { class: 'facts' }, ...rows);
}
