// REST client of chat and market, for the signed-in member.

import { language } from './i18n.js';

/** Rows of one page of the list of rooms: the maximum. */
const ROOMS_PAGE = 100;

/** 1,000 rooms are shown; nobody scrolls further. */
const ROOM_PAGES_MAX = 10;

/** Offers of a page of a list: more than a screen of them. */
const OFFERS_PAGE = 20;

/** Request timeout: longer than the server's own. */
const ANSWER_MAX_MS = 15_000;

/** An error of the server: a code for programs, a text for people; `data` has the present price where it changed. */
export class ApiError extends Error {
  constructor(code, message, status, data = null) {
    super(message);
    this.code = code;
    this.status = status;
    this.data = data;
  }
}

export class Api {
  constructor(session) {
    this.session = session;
  }

  /** All rooms, the one with the newest message first. */
  async rooms() {
    const rooms = [];
    let more = '';
    for (let page = 0; page < ROOM_PAGES_MAX; page += 1) {
      const { data, pageInfo } = await this.call('GET', `/api/chat-room?size=${ROOMS_PAGE}${more}`);
      rooms.push(...data);
      if (!pageInfo.hasNext) break;
      const lastAt = encodeURIComponent(data.at(-1).lastMessageAt);
      more = `&cursorId=${pageInfo.nextCursorId}&lastMessageAt=${lastAt}`;
    }
    return rooms;
  }

  /** A page of messages before `before` (or the newest), newest first, and whether there are more. */
  async history(roomId, before, size) {
    const cursor = before ? `&cursorId=${before}` : '';
    const page = await this.call('GET', `/api/chat-room/${roomId}/history?size=${size}${cursor}`);
    return { messages: page.data, hasMore: page.pageInfo.hasNext };
  }

  members(roomId) {
    return this.call('GET', `/api/chat-room/${roomId}/members`);
  }

  markRead(messageId) {
    return this.call('POST', `/api/chat-messages/${messageId}/read-status`);
  }

  takeBack(messageId) {
    return this.call('DELETE', `/api/chat-messages/${messageId}`);
  }

  /** A page of offers that can be bought: `path` is `mobile-data` or `wifi`, `query` its order and filters. */
  async offers(path, query, cursorId) {
    const parameters = new URLSearchParams({ size: OFFERS_PAGE, ...query });
    if (cursorId != null) parameters.set('cursorId', cursorId);
    const { data, pageInfo } = await this.call('GET', `/api/products/${path}?${parameters}`);
    return { rows: data, next: pageInfo.hasNext ? pageInfo.nextCursorId : null };
  }

  offer(path, productId) {
    return this.call('GET', `/api/products/${path}/${productId}`);
  }

  /** The room with the seller about this offer: an existing one, or a new one. */
  async askSeller(productId) {
    const { chatRoomId } = await this.call('POST', `/api/products/${productId}/chat-room`);
    return chatRoomId;
  }

  /** Offers of a seller, by state: `of` is a member, or `null` for the signed-in one. */
  async selling(of, state, size, cursorId = null) {
    const parameters = new URLSearchParams({ productState: state, size });
    if (cursorId != null) parameters.set('cursorId', cursorId);
    const path = of == null ? '/api/selling-products' : `/api/members/${of}/selling-products`;
    const { data, pageInfo, count } = await this.call('GET', `${path}?${parameters}`);
    return { rows: data, count, next: pageInfo.hasNext ? pageInfo.nextCursorId : null };
  }

  register(path, form) {
    return this.call('POST', `/api/products/${path}`, form);
  }

  change(path, form) {
    return this.call('PUT', `/api/products/${path}`, form);
  }

  withdraw(productId) {
    return this.call('DELETE', `/api/products/${productId}`);
  }

  member(memberId) {
    return this.call('GET', `/api/members/info?memberId=${memberId}`);
  }

  /** The signed-in member: public and private data. */
  async self() {
    const [info, { account }] = await Promise.all([this.call('GET', '/api/members/info'), this.export()]);
    return { ...info, role: account.role, provider: account.provider, email: account.email };
  }

  /** Export of the member's data; it also has the prices of the member's offers, which their list lacks. */
  export() {
    return this.call('GET', '/api/members/export');
  }

  plan() {
    return this.call('GET', '/api/plans/my-data');
  }

  /** Gigabytes of this month: `selling-data` (registered), `selling-data/sold`, `buying-data`. */
  async monthly(what) {
    return (await this.call('GET', `/api/members/${what}`)).data;
  }

  /** Won that the signed-in member can spend. */
  async cash() {
    return (await this.call('GET', '/api/members/cash')).cash;
  }

  /** Buys; the same request under the same key is done once. `path` is `mobile-data/default`, `wifi` and so on. */
  buy(path, order, key) {
    return this.call('POST', `/api/trades/${path}`, order, { 'idempotency-key': key });
  }

  /** The cheapest combinations of offers of exactly so many gigabytes. */
  scrap(gigabytes) {
    return this.call('GET', `/api/trades/mobile-data/scrap?dataAmount=${gigabytes}`);
  }

  /** A page of purchases, newest first, and how many there are. */
  async purchases(size, cursorId = null) {
    const { tradeCount, trades } = await this.call('GET', `/api/trades/purchase-history?${pageOf(size, cursorId)}`);
    return { count: tradeCount, rows: trades.data, next: trades.pageInfo.hasNext ? trades.pageInfo.nextCursorId : null };
  }

  /** A page of a month's changes of cash, newest first, and the month's totals. */
  async cashHistory({ year, month }, size, cursorId = null) {
    const answer = await this.call('GET', `/api/trades/cash-history?year=${year}&month=${month}&${pageOf(size, cursorId)}`);
    const { data, pageInfo } = answer.cashHistorySummary;
    return { totals: answer.cashHistoryMonthlySummary, rows: data, next: pageInfo.hasNext ? pageInfo.nextCursorId : null };
  }

  /** `{available, payPage}`: whether cash can be charged, and where members pay; `null` where this site has no page for it. */
  checkout() {
    return this.call('GET', '/api/payments/checkout');
  }

  saveAmount(orderId, amount) {
    return this.call('POST', '/api/payments/save-amount', { orderId, amount });
  }

  /** Refuses (5003) what is not the saved amount. */
  verifyAmount(orderId, amount) {
    return this.call('POST', '/api/payments/verify-amount', { orderId, amount });
  }

  /** The same payment again has the same answer. 5008: it is being verified. */
  charge(paymentKey, orderId, amount) {
    return this.call('POST', '/api/payments/charge', { paymentKey, orderId, amount });
  }

  /** A page of charges, newest first. */
  charges(size, cursorId = null) {
    return this.rowsOf(`/api/payments/charges?${pageOf(size, cursorId)}`);
  }

  /** The same `requestId` is done once. */
  refund(requestId, refundAmount) {
    return this.call('POST', '/api/payments/refund', { requestId, refundAmount });
  }

  /** A page of refunds, newest first. */
  refunds(size, cursorId = null) {
    return this.rowsOf(`/api/payments/refunds?${pageOf(size, cursorId)}`);
  }

  /** The receipt of a trade of the signed-in member. */
  receipt(tradeId) {
    return this.call('GET', `/api/trades/${tradeId}/receipt`);
  }

  async rowsOf(path) {
    const { data, pageInfo } = await this.call('GET', path);
    return { rows: data, next: pageInfo.hasNext ? pageInfo.nextCursorId : null };
  }

  /** Notifications before `before` (or the newest), newest first; an empty page is the end. */
  notifications(size, before = null) {
    return this.call('GET', `/api/notifications?${pageOf(size, before)}`);
  }

  /** At most 100, which means 100 or more. */
  async unreadNotifications() {
    return (await this.call('GET', '/api/notifications/unread-count')).unreadCount;
  }

  /** All up to this one are read. */
  readNotifications(upTo) {
    return this.call('POST', '/api/notifications/read', { upTo });
  }

  deleteNotification(id) {
    return this.call('DELETE', `/api/notifications/${id}`);
  }

  /** `{chat, trade, marketing, mutes}` */
  preferences() {
    return this.call('GET', '/api/notifications/preferences');
  }

  setPreferences(changed) {
    return this.call('PUT', '/api/notifications/preferences', changed);
  }

  mute(roomId, minutes) {
    return this.call('POST', `/api/chat-room/${roomId}/mute`, { minutes });
  }

  unmute(roomId) {
    return this.call('DELETE', `/api/chat-room/${roomId}/mute`);
  }

  /** `{publicKey}`; without it this site has no push to browsers. */
  pushKey() {
    return this.call('GET', '/api/push/vapid-key');
  }

  savePush(subscription) {
    return this.call('POST', '/api/push/subscriptions', subscription);
  }

  removePush(endpoint) {
    return this.call('DELETE', '/api/push/subscriptions', { endpoint });
  }

  setLanguage(language) {
    return this.call('POST', '/api/members/language', { language });
  }

  setProfileImage(imageUrl) {
    return this.call('POST', '/api/members/profile-image', { imageUrl });
  }

  /** Upload URLs for pictures of these names. */
  presign(filenames) {
    return this.call('POST', '/api/images/presign', { filenames });
  }

  async call(method, path, body, more = {}) {
    let response = await this.ask(method, path, body, more);
    if (response.status === 401) {
      await this.session.renew();
      response = await this.ask(method, path, body, more);
    }
    const answer = await response.json();
    if (answer.code !== 0) throw new ApiError(answer.code, answer.message, response.status, answer.data);
    return answer.data;
  }

  ask(method, path, body, more) {
    const { headers, credentials } = this.session.proof;
    const all = { ...headers, ...more, 'accept-language': language, ...(body && { 'content-type': 'application/json' }) };
    const signal = AbortSignal.timeout(ANSWER_MAX_MS);
    return fetch(path, { method, credentials, headers: all, body: body && JSON.stringify(body), signal });
  }
}

/** The query of a page. */
export function pageOf(size, cursorId) {
  return new URLSearchParams({ size, ...(cursorId != null && { cursorId }) });
}
