// Conversations: members who read the same room, long histories, and what must hold of the messages that are shown.

import assert from 'node:assert/strict';
import { until } from './until.js';

/** Of members 1 and 2, from the first start on. */
export const ROOM = 1;

/** Of all demo members. */
export const GROUP = 2 ** 30;

/** More than two pages of history. */
export const OLD = 90;

/** Members 1 and 2, two tabs of one browser, in the same room. */
export async function pair(world, room = ROOM) {
  const context = await world.browserOf();
  const [one, two] = await Promise.all([1, 2].map((member) => world.memberIn(room, member, { context })));
  await Promise.all([isReadThrough(one, room), isReadThrough(two, room)]);
  return { one, two };
}

/** Waits until the open room is read to its end: nothing of it is counted as unread. */
export async function isReadThrough(tab, room) {
  await until(`room ${room} is read`, async () => (await tab.page.locator(`[data-room="${room}"] .badge`).count()) === 0);
}

/** The last message that this tab's member sent is read by the others. */
export function isRead(tab) {
  return until('read mark', async () => (await tab.page.locator('.message.mine').last().innerText()).includes('읽음'));
}

/** Sends so many messages by a connection of the test's own, with the tab's login, and waits until the tab shows the last. */
export async function sendMany(tab, room, count) {
  await tab.page.evaluate(
    async ({ room, count }) => {
      const { Client } = await import('/vendor/stompjs/index.js');
      const { accessToken } = JSON.parse(sessionStorage.getItem('dapanda.session'));
      const client = new Client({
        brokerURL: `ws://${location.host}/conn`,
        connectHeaders: { Authorization: `Bearer ${accessToken}` },
      });
      await new Promise((resolve) => {
        client.onConnect = resolve;
        client.activate();
      });
      const stored = (name) => new Promise((resolve) => client.watchForReceipt(name, resolve));
      const all = [];
      for (let number = 1; number <= count; number += 1) {
        const receipt = `many-${number}`;
        all.push(stored(receipt));
        const body = JSON.stringify({ message: `오래된 메시지 ${number}` });
        client.publish({ destination: `/pub/${room}`, headers: { receipt }, body });
      }
      await Promise.all(all);
      await client.deactivate();
    },
    { room, count },
  );
  await tab.shows(`오래된 메시지 ${count}`);
}

/** In the page: scrolls up a little, waits for older rows, and returns how far the row moved. */
export async function scrollUpAndWatch(id) {
  const scroller = document.getElementById('scroller');
  // The text, not its row: a sender's name above it goes when that sender's earlier messages come.
  const row = () => document.querySelector(`[data-id="${id}"] .bubble`).getBoundingClientRect().top;
  const count = () => document.querySelectorAll('#messages .message').length;
  const rows = count();
  scroller.scrollTop = 400;
  const place = row();
  const end = Date.now() + 15_000;
  while (count() === rows && Date.now() < end) await new Promise((resolve) => requestAnimationFrame(resolve));
  if (count() === rows) throw new Error('no older messages came');
  return row() - place;
}

/** In the page: the line above what is unread, and something of both sides of it. */
export function lineIsInSight() {
  const view = document.getElementById('scroller').getBoundingClientRect();
  const line = document.querySelector('.unread-line')?.getBoundingClientRect();
  return line != null && line.top > view.top + 40 && line.bottom < view.top + view.height / 2;
}

/** Every message once, in order, without a hole: ids of a room rise by one. */
export async function isWhole(tab) {
  const ids = (await tab.messages()).map(({ id }) => id);
  assert.ok(ids.length > 0);
  ids.forEach((id, index) => assert.equal(id, ids[0] + index, `at ${index} of ${ids.length}`));
}
