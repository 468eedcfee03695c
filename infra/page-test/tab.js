// One tab of the browser, as a member uses it.

import assert from 'node:assert/strict';
import { until } from './until.js';

export class Tab {
  constructor(page, url) {
    const { host } = new URL(url);
    this.page = page;
    /** What a developer would see in red. */
    this.complaints = [];
    /** Which of them belong to the check. */
    this.expected = [];
    /** Requests to others than the server. */
    this.strangers = [];
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      const isLost = /ERR_CONNECTION|WebSocket connection|net::ERR/.test(message.text());
      if (message.type() === 'error' && !isLost) this.complaints.push(message.text());
    });
    this.askedAt = Date.now();
    page.on('request', (request) => {
      this.askedAt = Date.now();
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

  /** As a visitor does: to the provider, choosing somebody there, and back. */
  async signIn(provider, name) {
    await this.page.click(`[data-provider="${provider}"]`);
    await this.page.waitForURL(`**/fake/${provider}/**`);
    await this.page.click(`a:has-text("${name}")`);
    await this.page.waitForURL('**/#/market/data');
    await this.page.waitForSelector('#market:not([hidden])');
  }

  /** Loads the page at this address, logged in with a session that was begun without the page. */
  async begin(session, url) {
    const keep = (kept) => {
      // A later load of the page, or after it logged out, has what it kept itself.
      if (sessionStorage.getItem('begun')) return;
      sessionStorage.setItem('begun', 'true');
      sessionStorage.setItem('dapanda.session', kept);
    };
    await this.page.addInitScript(keep, JSON.stringify(session));
    await this.page.goto(url);
    await this.connected();
  }

  async enter(roomId) {
    if (await this.page.locator('#chat').isHidden()) await this.page.click('#to-chat');
    await this.page.click(`[data-room="${roomId}"]`);
    await this.isIn(roomId);
  }

  /** Waits until the conversation is shown. */
  async isIn(roomId) {
    // The row is marked together with the change of the conversation: what it shows then is of this room.
    await this.page.waitForSelector(`[data-room="${roomId}"][aria-current="page"]`, { state: 'attached' });
    await this.page.waitForSelector('#conversation:not([hidden])');
    await until('loaded', async () => !(await this.text('#beginning')).includes('불러오는'));
  }

  /** Waits until the page has nothing more to ask for: it pauses for a quarter of a second before some requests. */
  quiet() {
    return until('the page is quiet', async () => Date.now() - this.askedAt > 1_000);
  }

  /** Follows an address of the page, and returns when the page has begun to show it. */
  go(hash) {
    const follow = (to) =>
      new Promise((resolve) => {
        if (location.hash === to) resolve();
        // After the page's own listeners.
        window.addEventListener('hashchange', () => setTimeout(resolve), { once: true });
        location.hash = to;
      });
    return this.page.evaluate(follow, hash);
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

  /** The check makes the browser complain like this. */
  expect(pattern) {
    this.expected.push(pattern);
  }

  /** Nothing was asked of others, and nothing complained, except as expected. */
  async isClean() {
    assert.deepEqual(this.strangers, []);
    assert.deepEqual(this.complaints.filter((one) => !this.expected.some((pattern) => pattern.test(one))), []);
  }

  async shot(folder, name) {
    // Animations at their end: a tab in the background has no frames for them.
    await this.page.screenshot({ path: `${folder}/${name}.png`, animations: 'disabled' });
  }
}
