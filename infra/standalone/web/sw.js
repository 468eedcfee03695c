// Service worker: shows push notifications while no page is open, and leads from them to what they are about. It keeps
// no files and answers no requests of the page.

/** How long a page has to say whose it is. */
const ANSWER_MS = 500;

const NAME = 'DaPanDa';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('push', (event) => {
  const { id, kind, title = NAME, body = '', data = {}, tag = id } = read(event.data);
  // Browsers require a notification for each push. One with the tag of another replaces it.
  const shown = { body, tag, renotify: Boolean(tag), icon: '/icon.svg', badge: '/icon.svg', data: { kind, data } };
  event.waitUntil(self.registration.showNotification(title, shown));
});

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data ?? {}));
});

/** Shows what the notification is about: in a page of its member if there is one, else in a new one. */
async function open({ kind = '', data = {} }) {
  const pages = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const own = (await Promise.all(pages.map(async (page) => ((await isOwn(page)) ? page : null)))).filter(Boolean);
  const page = own.find(({ focused }) => focused) ?? own.find(({ visibilityState }) => visibilityState === 'visible') ?? own[0];
  const query = new URLSearchParams({ kind, data: JSON.stringify(data) });
  if (!page) return self.clients.openWindow(`/#/notification?${query}`);
  page.postMessage({ type: 'open', kind, data });
  // The browser may refuse the focus; the page has followed all the same.
  return page.focus().catch(() => {});
}

/** Whether the page is logged in as the member that the notifications of this browser are for. */
function isOwn(page) {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ANSWER_MS);
    port1.onmessage = ({ data }) => {
      clearTimeout(timer);
      resolve(data === true);
    };
    page.postMessage({ type: 'whose' }, [port2]);
  });
}

function read(data) {
  try {
    return data?.json() ?? {};
  } catch {
    return {};
  }
}
