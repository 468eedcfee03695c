// The login screen. A login by a provider is one to the site; a demo member's is one of this tab only.

import { avatar, byId, element } from './dom.js';
import { t } from './i18n.js';
import { languageSwitch } from './profile-view.js';
import { DemoSession, ProviderSession, fetchDemo, signedInMember } from './session.js';

const PROVIDERS = [
  ['kakao', 'loginKakao'],
  ['google', 'loginGoogle'],
  ['naver', 'loginNaver'],
];

/** What the market says of a login that came to nothing; the rest is worth another try. */
const REFUSALS = {
  2009: 'loginCancelled',
  2012: 'blocked',
};

const TRY_AGAIN = 'loginFailed';

/** The session of a browser that has just come back from a provider; `problem` if it was not let in. */
export async function comeBack() {
  const query = new URLSearchParams(location.search);
  const error = query.get('error');
  if (error !== null) {
    history.replaceState(null, '', '/');
    return { problem: t(REFUSALS[error] ?? TRY_AGAIN) };
  }
  if (query.has('closed')) {
    history.replaceState(null, '', '/');
    return { problem: t('accountClosed') };
  }
  // The market sends to `/data`, which leads here.
  if (query.get('login') !== 'ok') return {};
  history.replaceState(null, '', '/#/market/data');
  const session = await ProviderSession.begin().catch(() => null);
  return session ? { session } : { problem: t(TRY_AGAIN) };
}

/** Shows the screen until somebody is chosen. */
export function chooseMember(why = '') {
  const screen = byId('login');
  const problem = byId('login-problem');
  screen.hidden = false;
  problem.textContent = why;
  document.title = t('appName');
  byId('login-language').replaceChildren(languageSwitch());
  return new Promise((resolve) => {
    const enter = async (begin) => {
      problem.textContent = '';
      try {
        const session = await begin();
        screen.hidden = true;
        resolve(session);
      } catch {
        problem.textContent = t(TRY_AGAIN);
      }
    };
    showProviders(enter);
    showMembers((memberId) => enter(() => DemoSession.logIn(memberId)), problem);
  });
}

function showProviders(enter) {
  const buttons = PROVIDERS.map(([name, text]) =>
    element('a', { href: siteUrl(`/oauth2/authorization/${name}`), class: `provider ${name}`, 'data-provider': name }, t(text)),
  );
  const member = signedInMember();
  if (member) {
    const goOn = () =>
      enter(() => {
        location.hash = '#/market/data';
        return ProviderSession.begin();
      });
    const { name } = member;
    const text = element('span', {}, t('goOnAs', { name }));
    buttons.unshift(
      element('button', { type: 'button', id: 'go-on', class: 'provider', onclick: goOn }, avatar(name, 'small'), text),
    );
  }
  byId('providers').replaceChildren(...buttons);
}

/** Providers send browsers back to `localhost`, and the cookies of 127.0.0.1 are not seen there. */
function siteUrl(path) {
  return location.hostname === '127.0.0.1' ? `http://localhost:${location.port}${path}` : path;
}

async function showMembers(choose, problem) {
  try {
    const { members, administrator } = await fetchDemo();
    byId('members').replaceChildren(...members.map((member) => row(member, choose, t('memberNumber', { number: member.memberId }))));
    byId('administrator').replaceChildren(...(administrator ? [row(administrator, choose, t('adminDemo'))] : []));
  } catch {
    problem.textContent = t('errorOffline');
  }
}

function row({ memberId, name }, choose, text) {
  const button = element(
    'button',
    { type: 'button', 'data-member': memberId, onclick: () => choose(memberId) },
    avatar(name),
    element('span', { class: 'name' }, name),
    element('span', { class: 'number' }, text),
  );
  return element('li', {}, button);
}
