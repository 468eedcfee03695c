// Push notifications of this browser: permission, subscription, and which member they are for.
//
// A browser has one subscription for this page, and tabs may be several demo members: they are for the one who turned
// them on last.

const OWNER_KEY = 'dapanda.push';

const WORKER = '/sw.js';

export class Push extends EventTarget {
  constructor(api, memberId) {
    super();
    this.api = api;
    this.memberId = memberId;
    /** `on`, `off`; or why there are none: `insecure`, `unsupported`, `denied`, `unavailable` (not on this site). */
    this.state = support() ?? 'off';
    this.busy = false;
  }

  get isOwner() {
    return localStorage.getItem(OWNER_KEY) === String(this.memberId);
  }

  /** `open(notification)` is called when one was clicked. */
  async start(open) {
    if (support()) return;
    navigator.serviceWorker.addEventListener('message', ({ data, ports }) => {
      if (data.type === 'whose') ports[0]?.postMessage(this.isOwner);
      if (data.type === 'open' && this.isOwner) open(data);
    });
    // Messages wait until then.
    navigator.serviceWorker.startMessages();
    window.addEventListener('storage', ({ key }) => key === OWNER_KEY && this.check());
    if (this.isOwner) await this.check();
    const subscription = this.state === 'on' ? await this.subscription() : null;
    // The browser may have renewed it, or the server may have dropped it.
    if (subscription) await this.api.savePush(subscription.toJSON()).catch(() => {});
  }

  /** Reads the state again. */
  async check() {
    if (support()) return;
    const { publicKey } = await this.api.pushKey().catch(() => ({}));
    const subscription = await this.subscription().catch(() => null);
    this.publicKey = publicKey ?? null;
    this.set(subscription);
  }

  set(subscription) {
    if (!this.publicKey) this.state = 'unavailable';
    else if (Notification.permission === 'denied') this.state = 'denied';
    else this.state = subscription && this.isOwner && Notification.permission === 'granted' ? 'on' : 'off';
    this.dispatchEvent(new CustomEvent('change'));
  }

  /** Asks for permission: only after a click. */
  async enable() {
    if ((await Notification.requestPermission()) !== 'granted') return this.set(null);
    const registration = await register();
    const subscription = await subscribe(registration.pushManager, this.publicKey);
    await this.api.savePush(subscription.toJSON());
    localStorage.setItem(OWNER_KEY, String(this.memberId));
    this.set(subscription);
  }

  async disable() {
    const subscription = await this.subscription();
    if (subscription && this.isOwner) {
      await this.api.removePush(subscription.endpoint);
      await subscription.unsubscribe();
    }
    if (this.isOwner) localStorage.removeItem(OWNER_KEY);
    this.set(null);
  }

  /** Before a logout, while requests are still the member's. */
  async leave() {
    if (this.state === 'on') await this.disable().catch(() => {});
  }

  async subscription() {
    const registration = await navigator.serviceWorker.getRegistration(WORKER);
    return registration ? registration.pushManager.getSubscription() : null;
  }
}

/** Why this browser has no push; `null` if it has. */
function support() {
  if (!window.isSecureContext) return 'insecure';
  const has = 'serviceWorker' in navigator && 'PushManager' in window && 'Notification' in window;
  return has ? null : 'unsupported';
}

/** The policy of the page allows no address of a script but by a policy of its own, which allows this one. */
async function register() {
  const policy = window.trustedTypes?.createPolicy('dapanda-worker', { createScriptURL: () => WORKER });
  await navigator.serviceWorker.register(policy ? policy.createScriptURL('') : WORKER);
  return navigator.serviceWorker.ready;
}

/** A subscription for another key, of an earlier installation, makes way. */
async function subscribe(manager, publicKey) {
  const options = { userVisibleOnly: true, applicationServerKey: bytesOf(publicKey) };
  try {
    return await manager.subscribe(options);
  } catch (error) {
    const former = await manager.getSubscription();
    if (error.name !== 'InvalidStateError' || !former) throw error;
    await former.unsubscribe();
    return manager.subscribe(options);
  }
}

function bytesOf(base64url) {
  const text = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(text, (one) => one.charCodeAt(0));
}
