// What a check has for itself: a server with the demo's members, rooms and offers, and the tabs that it opens. Nothing of
// it is left for another check.

import { Member } from './member.js';
import { Server } from './server.js';
import { Tab } from './tab.js';

export const DESKTOP = { viewport: { width: 1280, height: 800 } };

/** A phone of this width, in CSS pixels. */
export function phone(width, height = 780) {
  return { viewport: { width, height }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
}

export class World {
  static async begin({ binary, browser, shots, log }) {
    return new World({ server: await Server.start(binary, log), browser, shots });
  }

  constructor({ server, browser, shots }) {
    this.server = server;
    this.browser = browser;
    this.shots = shots;
    this.tabs = new Set();
  }

  /** A tab of a browser of its own. */
  async open(options = {}) {
    const tab = await this.blank(await this.browserOf(options));
    await tab.page.goto(this.server.url);
    return tab;
  }

  /** Another tab of the same browser. */
  async beside(tab) {
    const other = await this.blank(tab.page.context());
    await other.page.goto(this.server.url);
    return other;
  }

  /** A demo member in a browser of their own, before the list of offers. */
  async member(id, options = {}) {
    const tab = await this.memberAt('#/market/data', id, await this.browserOf(options));
    await tab.page.waitForSelector('#offers [data-offer]');
    return tab;
  }

  /** A demo member at this address of the page, which a script may prepare. */
  async memberAt(hash, id, context, script) {
    const { session } = await Member.logIn(this.server, id);
    const tab = await this.blank(context);
    if (script) await tab.page.addInitScript(script);
    await tab.begin(session, this.server.url + hash);
    return tab;
  }

  /** A demo member in a conversation. */
  async memberIn(room, id, { context, ...options } = {}) {
    const tab = await this.memberAt(`#/room/${room}`, id, context ?? (await this.browserOf(options)));
    await tab.isIn(room);
    return tab;
  }

  /** A browser of its own: nothing is stored in it. */
  async browserOf(options = {}) {
    const context = await this.browser.newContext({
      locale: 'ko-KR', timezoneId: 'Asia/Seoul', viewport: { width: 1180, height: 800 }, ...options,
    });
    context.setDefaultTimeout(20_000);
    return context;
  }

  /** A tab that has not loaded the page yet. */
  async blank(context) {
    return this.add(await context.newPage());
  }

  add(page) {
    const tab = new Tab(page, this.server.url);
    this.tabs.add(tab);
    return tab;
  }

  /** Closes a tab and its browser, which other tabs of it do not outlive. */
  async close(tab) {
    await tab.isClean();
    this.tabs.delete(tab);
    await tab.page.context().close();
  }

  /** Every tab asked the server alone, and complained about nothing that the check did not expect. */
  async isClean() {
    for (const tab of this.tabs) await tab.isClean();
  }

  async shootAll(name) {
    const shoot = (tab, index) => tab.shot(this.shots, `${name}-${index + 1}`);
    await Promise.allSettled([...this.tabs].map(shoot));
  }

  /** Also after a failure. */
  async end() {
    const contexts = new Set([...this.tabs].map((tab) => tab.page.context()));
    await Promise.allSettled([...contexts].map((context) => context.close()));
    await this.server.end();
  }
}
