// Who this tab is.
//
// Two tabs are to be two members, but cookies are shared by all tabs of a browser. So the token of
// a login is kept in sessionStorage, which belongs to one tab, and shown as `Authorization` at
// CONNECT and with every request; there a bearer token wins over the cookies that the login also
// sets. It is renewed before it ends, by logging in again: this is a demo without passwords.

const KEY = 'dapanda.session';

/** So long before its end a token is renewed. */
const RENEW_BEFORE_MS = 5 * 60 * 1000;

/** Timers of sleeping tabs come late; so look again at least this often. */
const LOOK_EVERY_MS = 60 * 1000;

export class Session {
  /** The login of this tab, if it has one. */
  static restore() {
    try {
      const stored = JSON.parse(sessionStorage.getItem(KEY));
      return stored ? new Session(stored) : null;
    } catch {
      return null;
    }
  }

  static async logIn(memberId) {
    return new Session(await requestLogin(memberId));
  }

  constructor(login) {
    /** Told the new token. */
    this.onRenewed = () => {};
    this.take(login);
    this.timer = setInterval(() => this.renewInTime(), LOOK_EVERY_MS);
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

  /** Gets a new token if this one ends soon. That the server is away is not its trouble. */
  async renewInTime() {
    if (Date.now() < this.login.endsAt - RENEW_BEFORE_MS) return;
    await this.renew().catch(() => {});
  }

  end() {
    clearInterval(this.timer);
    sessionStorage.removeItem(KEY);
  }

  take(login) {
    this.login = login;
    sessionStorage.setItem(KEY, JSON.stringify(login));
  }
}

/** The demo members, and how long a message may be. */
export async function fetchDemo() {
  const response = await fetch('/dev/members');
  return (await response.json()).data;
}

async function requestLogin(memberId) {
  const response = await fetch('/dev/login', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ memberId }),
  });
  const answer = await response.json();
  if (answer.code !== 0) throw new Error(answer.message);
  const { expiresInSeconds, ...login } = answer.data;
  return { ...login, endsAt: Date.now() + expiresInSeconds * 1000 };
}
