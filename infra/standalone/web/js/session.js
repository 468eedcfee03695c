// The session of this tab.
//
// Two tabs may be two members, but cookies are shared by all tabs of a browser. So there are two kinds of sessions:
//
// - A demo member's: the token of a login is kept in sessionStorage, which belongs to one tab, and sent as
//   `Authorization` at CONNECT and with every request, where it takes precedence over cookies. Its requests neither
//   send nor accept cookies. It is renewed before it ends, by logging in again: this is a demo without passwords.
// - A provider's: the site's cookies authenticate, in all tabs that are not a demo member's. Scripts cannot read
//   them, so localStorage has their member.

const KEY = 'dapanda.session';
const SIGNED_IN_KEY = 'dapanda.signed-in';

const UNAUTHORIZED = 401;

/** The role of administrators. */
export const ADMIN = 'ROLE_ADMIN';

/** A token is renewed this long before it expires. */
const RENEW_BEFORE_MS = 5 * 60 * 1000;

/** Timers of sleeping tabs are late, so the expiry is checked at least this often. */
const CHECK_EVERY_MS = 60 * 1000;

/** The login of this tab, if it has one. */
export function restore() {
  const stored = read(sessionStorage, KEY);
  if (stored?.accessToken) return new DemoSession(stored);
  const signedIn = signedInMember();
  return stored?.byProvider && signedIn ? new ProviderSession(signedIn) : null;
}

/** The member of the site's cookies, after a login by a provider that was not ended since. */
export function signedInMember() {
  const stored = read(localStorage, SIGNED_IN_KEY);
  return Number.isSafeInteger(stored?.memberId) ? stored : null;
}

export class DemoSession {
  static async logIn(memberId) {
    return new DemoSession(await requestLogin(memberId));
  }

  constructor(login) {
    /** Called with the new token. */
    this.onRenewed = () => {};
    this.take(login);
    this.isAdmin = login.member.role === ADMIN;
    this.timer = setInterval(() => this.renewInTime(), CHECK_EVERY_MS);
  }

  get memberId() {
    return this.login.member.memberId;
  }

  get name() {
    return this.login.member.name;
  }

  get token() {
    return this.login.accessToken;
  }

  /** The credentials of a request: options of `fetch`. */
  get proof() {
    return { headers: { authorization: `Bearer ${this.token}` }, credentials: 'omit' };
  }

  /** Gets a new token now. Calls at the same time share one. */
  renew() {
    this.renewing ??= requestLogin(this.memberId)
      .then((login) => {
        this.take(login);
        this.onRenewed(this.token);
      })
      .finally(() => {
        this.renewing = null;
      });
    return this.renewing;
  }

  /** Gets a new token if this one expires soon. Ignores an unavailable server. */
  async renewInTime() {
    if (Date.now() < this.login.endsAt - RENEW_BEFORE_MS) return;
    await this.renew().catch(() => {});
  }

  /** Discards the token; other sessions of this member continue. */
  async end() {
    this.forget();
  }

  forget() {
    clearInterval(this.timer);
    sessionStorage.removeItem(KEY);
  }

  take(login) {
    this.login = login;
    sessionStorage.setItem(KEY, JSON.stringify(login));
  }
}

export class ProviderSession {
  /** After the browser came back from a provider, or where somebody is signed in already. */
  static async begin() {
    const member = await fetchSelf();
    // For a new member the first visit of this page is the onboarding; for others nothing happens.
    await fetch('/api/members/role', { method: 'POST' });
    localStorage.setItem(SIGNED_IN_KEY, JSON.stringify(member));
    return new ProviderSession(member);
  }

  constructor({ memberId, name }) {
    this.memberId = memberId;
    this.name = name;
    /** Not known before the member's own page or that of administrators was opened. */
    this.isAdmin = false;
    this.onRenewed = () => {};
    sessionStorage.setItem(KEY, JSON.stringify({ byProvider: true }));
    // Another tab signed in as somebody else, or out: the cookies are no longer this member's.
    this.onStorage = ({ key }) => {
      if ((key === SIGNED_IN_KEY || key === null) && signedInMember()?.memberId !== memberId) location.reload();
    };
    window.addEventListener('storage', this.onStorage);
  }

  /** Cookies need no token. */
  get token() {
    return null;
  }

  get proof() {
    return { headers: {}, credentials: 'same-origin' };
  }

  /** The market renews the cookies on any request with a valid refresh cookie. */
  async renew() {
    try {
      const { memberId } = await fetchSelf();
      if (memberId !== this.memberId) location.reload();
    } catch (error) {
      if (error.status === UNAUTHORIZED) {
        // The session has ended: the login has expired, or was ended elsewhere.
        this.forget();
        location.reload();
      }
      throw error;
    }
  }

  async renewInTime() {}

  /** Logs out: the server revokes the tokens and removes the cookies. */
  async end() {
    const response = await fetch('/api/auth/logout', { method: 'POST' });
    if (!response.ok && response.status !== UNAUTHORIZED) throw new Error(`signing out: ${response.status}`);
    this.forget();
  }

  forget() {
    window.removeEventListener('storage', this.onStorage);
    localStorage.removeItem(SIGNED_IN_KEY);
    sessionStorage.removeItem(KEY);
  }
}

/** The demo members, and how long a message may be. */
export async function fetchDemo() {
  const response = await fetch('/dev/members');
  return (await response.json()).data;
}

/** The member of the cookies. */
async function fetchSelf() {
  const response = await fetch('/api/members/info');
  const { code, message, data } = await response.json();
  if (code !== 0) throw Object.assign(new Error(message), { status: response.status });
  return { memberId: data.memberId, name: data.name };
}

async function requestLogin(memberId) {
  const response = await fetch('/dev/login', {
    method: 'POST',
    credentials: 'omit',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ memberId }),
  });
  const answer = await response.json();
  if (answer.code !== 0) throw new Error(answer.message);
  const { expiresInSeconds, ...login } = answer.data;
  return { ...login, endsAt: Date.now() + expiresInSeconds * 1000 };
}

function read(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null;
  }
}
