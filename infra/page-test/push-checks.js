// Settings of notifications, muted rooms, and push to the browser.

import assert from 'node:assert/strict';
import { ROOM } from './conversation.js';
import { fits, isNamed, isTouchable } from './layout.js';
import { until } from './until.js';
import { DESKTOP, phone } from './world.js';

/** Of RFC 8291: a key and a secret of a browser. */
const SUBSCRIPTION = {
  endpoint: 'https://push.example.com/p/one',
  keys: {
    p256dh: 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4',
    auth: 'BTBZMqHH6r4Tts7J_aSIgg',
  },
};

export const checks = [
  ['what is notified of is chosen by class, and kept', async (world) => {
    const tab = await world.memberAt('#/me', 1, await world.browserOf(DESKTOP));
    await tab.page.waitForSelector('#channel-trade');
    const values = () => tab.page.$$eval('#notification-settings select', (all) => all.map((one) => one.value));
    assert.deepEqual(await values(), ['push', 'push', 'none']);
    for (const [name, channel] of [['chat', 'live'], ['marketing', 'push']]) {
      await tab.page.evaluate(() => (document.getElementById('note').textContent = ''));
      await tab.page.selectOption(`#channel-${name}`, channel);
      await until('it is said', async () => /알림 설정을 바꿨어요/.test(await tab.text('#note')));
    }
    assert.deepEqual(await values(), ['live', 'push', 'push']);
    await tab.page.reload();
    await until('a reload keeps it', async () => (await values()).join() === 'live,push,push');
    await tab.shot(world.shots, '97-settings');
  }],

  ['a room is muted for a time', async (world) => {
    const tab = await world.memberIn(ROOM, 1);
    const answers = [];
    tab.page.on('request', (request) => request.url().endsWith('/mute') && answers.push(request.postDataJSON()?.minutes ?? request.method()));
    const isMuted = async () => (await tab.page.getAttribute('#mute', 'aria-pressed')) === 'true';
    for (const [minutes, label] of [[60, /까지 알림 꺼짐/], [525_600, /다시 켤 때까지 알림 꺼짐/]]) {
      await tab.page.click('#mute');
      await tab.page.click(`[data-minutes="${minutes}"]`);
      await until('it is muted', isMuted);
      assert.match(await tab.page.getAttribute('#mute', 'aria-label'), label);
      assert.equal(await tab.page.locator(`[data-room="${ROOM}"] .room-muted`).count(), 1);
      await tab.page.reload();
      await until('a reload keeps it', isMuted);
      if (minutes === 60) {
        await tab.page.click('#mute');
        await tab.page.click('#unmute');
        await until('it is not muted', async () => !(await isMuted()));
      }
    }
    assert.deepEqual(answers, [60, 'DELETE', 525_600]);
    await tab.go('#/me');
    await tab.page.click(`[data-muted="${ROOM}"] button`);
    await until('the settings unmute it, too', async () => (await tab.page.locator('[data-muted]').count()) === 0);
  }],

  ['a push shows a notification of the system, which leads to what it is about', async (world) => {
    const context = await world.browserOf(DESKTOP);
    await context.grantPermissions(['notifications'], { origin: world.server.url });
    const tab = await world.memberAt('#/me', 1, context, `(${withPushService})(${JSON.stringify(SUBSCRIPTION)})`);
    const sent = [];
    tab.page.on('request', (request) => request.url().endsWith('/api/push/subscriptions') && sent.push([request.method(), request.postDataJSON()]));
    await tab.page.waitForSelector('[data-push="off"] #push-switch');
    assert.equal(context.serviceWorkers().length, 0, 'nothing is registered before it is wanted');
    await tab.page.click('#push-switch');
    await tab.page.waitForSelector('[data-push="on"]');
    assert.deepEqual(sent, [['POST', SUBSCRIPTION]]);
    const other = await world.memberAt('#/me', 2, context, `(${withPushService})(${JSON.stringify(SUBSCRIPTION)})`);
    await other.page.waitForSelector('[data-push="off"]');

    const message = { id: 'e1', kind: 'trade.completed', title: '구매 완료', body: '데이터 1GB', data: { role: 'BUYER', tradeId: 5, productIds: [1] } };
    const deliver = await pushService(tab, world.server.url);
    await deliver(JSON.stringify(message));
    const shown = () => tab.page.evaluate(async () => (await (await navigator.serviceWorker.ready).getNotifications()).map(({ title, body, tag, data }) => ({ title, body, tag, data })));
    await until('it is shown', async () => (await shown()).length === 1);
    const { kind, data } = message;
    assert.deepEqual(await shown(), [{ title: '구매 완료', body: '데이터 1GB', tag: 'e1', data: { kind, data } }]);
    await deliver('not JSON');
    await until('what cannot be read is shown without a text', async () => (await shown()).some(({ title }) => title === 'DaPanDa'));

    // A click cannot be made here: what it does is called.
    const [worker] = context.serviceWorkers();
    await worker.evaluate((about) => self.open(about), { kind, data });
    await until('the page of its member follows', async () => tab.page.url().endsWith('#/trades?trade=5&product=1'));
    assert.ok(other.page.url().endsWith('#/me'), 'and no other');
    await tab.go('#/me');
    await tab.page.click('#push-switch');
    await tab.page.waitForSelector('[data-push="off"]');
    assert.deepEqual(sent.at(-1), ['DELETE', { endpoint: SUBSCRIPTION.endpoint }]);
  }],

  ['the address of a notification leads to what it is about', async (world) => {
    const tab = await world.member(1, DESKTOP);
    const query = new URLSearchParams({ kind: 'chat.message', data: JSON.stringify({ chatRoomId: ROOM }) });
    await tab.page.evaluate((hash) => (location.hash = hash), `#/notification?${query}`);
    await tab.isIn(ROOM);
    await tab.page.evaluate(() => (location.hash = '#/notification?kind=strange&data=%7B'));
    await until('what is not known leads to the market', async () => tab.page.url().endsWith('#/market/data'));
  }],

  ['a browser that has no push, or must not, says so', async (world) => {
    const without = await world.memberAt('#/me', 1, await world.browserOf(DESKTOP), () => delete window.PushManager);
    await until('no push', async () => /지원하지 않아요/.test(await without.text('[data-push="unsupported"]')));
    const denied = await world.memberAt('#/me', 1, await world.browserOf(DESKTOP), () => Object.defineProperty(Notification, 'permission', { get: () => 'denied' }));
    await until('denied', async () => /막고 있어요/.test(await denied.text('[data-push="denied"]')));
    for (const tab of [without, denied]) assert.equal(await tab.page.locator('#push-switch').count(), 0);
  }],

  ['settings and mutes fit a phone and a desktop, in both languages', async (world) => {
    for (const [colorScheme, locale, options] of [['light', 'ko-KR', phone(360)], ['dark', 'en-US', phone(390)], ['light', 'en-US', DESKTOP]]) {
      const tab = await world.member(1, { ...options, colorScheme, locale });
      await tab.go('#/me');
      await tab.page.waitForSelector('#channel-trade');
      await tab.page.locator('#notification-settings').scrollIntoViewIfNeeded();
      await fits(tab);
      await isNamed(tab);
      if (options.isMobile) await isTouchable(tab);
      await tab.shot(world.shots, `98-settings-${options.viewport.width}-${colorScheme}`);
      await tab.go(`#/room/${ROOM}`);
      await tab.page.click('#mute');
      await fits(tab);
      await isNamed(tab);
      await tab.shot(world.shots, `99-mute-${options.viewport.width}-${colorScheme}`);
      await world.close(tab);
    }
  }],
];

/** In the page: a push service, which a browser without a window has not. */
function withPushService(subscription) {
  let current = null;
  const made = { ...subscription, toJSON: () => subscription, unsubscribe: async () => ((current = null), true) };
  PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
    if (!userVisibleOnly || applicationServerKey.length !== 65) throw new TypeError('not a key');
    return (current = made);
  };
  PushManager.prototype.getSubscription = async () => current;
}

/** Delivers pushes to the tab's service worker, as the browser's push service does. */
async function pushService(tab, origin) {
  const session = await tab.page.context().newCDPSession(tab.page);
  let id = null;
  session.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
    const own = registrations.find(({ scopeURL, isDeleted }) => scopeURL === `${origin}/` && !isDeleted);
    id = own?.registrationId ?? id;
  });
  await session.send('ServiceWorker.enable');
  await until('the worker is registered', async () => id !== null);
  return (data) => session.send('ServiceWorker.deliverPushMessage', { origin, registrationId: id, data });
}
