// One tab of the browser, as a member uses it.

import assert from 'node:assert/strict';
import { until } from './until.js';

/** A tab of a browser context of its own. */
export async function openTab(browser, server, options = {}) {
  const context = await browser.newContext({
    locale: 'ko-KR', timezoneId: 'Asia/Seoul', viewport: { width: 1180, height: 800 }, ...options,
  });
  context.setDefaultTimeout(20_000);
  return Tab.open(context, server.url);
}

export class Tab {
  static async open(context, url) {
    const page = await context.newPage();
    const tab = new Tab(page, url);
    await page.goto(url);
    return tab;
  }

  constructor(page, url) {
    const { host } = new URL(url);
    this.page = page;
    /** What a developer would see in red. */
    this.complaints = [];
    /** Requests to others than the server. */
    this.strangers = [];
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      const isLost = /ERR_CONNECTION|WebSocket connection|net::ERR/.test(message.text());
      if (message.type() === 'error' && !isLost) this.complaints.push(message.text());
    });
    page.on('request', (request) => {
      if (new URL(request.url()).host !== host) this.strangers.push(request.url());
    });
  }

  async logIn(memberId) {
    await this.page.click(`[data-member="${memberId}"]`);
    await this.page.waitForSelector('#offers [data-offer]');
    await this.connected();
  }

  connected() {
    return until('connected', () => this.page.evaluate(() => document.body.dataset.state === 'open'));
  }

  async enter(roomId) {
    if (await this.page.locator('#chat').isHidden()) await this.page.click('#to-chat');
    await this.page.click(`[data-room="${roomId}"]`);
    // The row is marked together with the change of the conversation: what it shows then is of this room.
    await this.page.waitForSelector(`[data-room="${roomId}"][aria-current="page"]`, { state: 'attached' });
    await this.page.waitForSelector('#conversation:not([hidden])');
    await until('loaded', async () => !(await this.text('#beginning')).includes('불러오는'));
  }

  go(hash) {
    return this.page.evaluate((to) => (location.hash = to), hash);
  }

  async send(text) {
    await this.page.fill('#text', text);
    await this.page.press('#text', 'Enter');
  }

  text(selector) {
    return this.page.locator(selector).innerText();
  }

  /** All shown messages: who, text, state. */
  messages() {
    return this.page.$$eval('#messages .message', (rows) =>
      rows.map((row) => ({
        id: Number(row.dataset.id),
        isMine: row.classList.contains('mine'),
        text: row.querySelector('.bubble').textContent,
        state: row.dataset.state,
      })),
    );
  }

  /** How often this text is shown as a message that the server has. */
  async count(text) {
    const all = await this.messages();
    return all.filter((message) => message.text === text && message.state === 'there').length;
  }

  /** Whether the last message is where one sees it. */
  isAtEnd() {
    return this.page.evaluate(() => {
      const { scrollHeight, scrollTop, clientHeight } = document.getElementById('scroller');
      return scrollHeight - scrollTop - clientHeight < 4;
    });
  }

  shows(text) {
    return until(`"${text}" is shown once`, async () => (await this.count(text)) === 1);
  }

  /** While the returned switch is on, messages lose their text on the way, and are refused. */
  async spoilSends() {
    const spoil = { on: false };
    const body = '{"message":""}';
    await this.page.routeWebSocket('**/conn', (socket) => {
      const server = socket.connectToServer();
      socket.onMessage((frame) => {
        const isMessage = spoil.on && /^SEND\n/.test(frame) && frame.includes('client-message-id');
        const [head] = String(frame).split('\n\n');
        const spoilt = `${head.replace(/content-length:\d+/, `content-length:${body.length}`)}\n\n${body}\0`;
        server.send(isMessage ? spoilt : frame);
      });
    });
    return spoil;
  }

  /** Nothing was asked of others, and nothing complained. */
  async isClean() {
    assert.deepEqual(this.strangers, []);
    assert.deepEqual(this.complaints, []);
  }

  async shot(folder, name) {
    // Animations at their end: a tab in the background has no frames for them.
    await this.page.screenshot({ path: `${folder}/${name}.png`, animations: 'disabled' });
  }
}
