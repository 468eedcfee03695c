// The REST of chat and market, as the signed-in member.

/** Rows of one page of the list of rooms: the most there are. */
const ROOMS_PAGE = 100;

/** 1,000 rooms are shown; nobody scrolls further. */
const ROOM_PAGES_MAX = 10;

/** Offers of a page of a list: more than a screen of them. */
const OFFERS_PAGE = 20;

/** Longer than the server itself takes to give up. */
const ANSWER_MAX_MS = 15_000;

/** The server's refusal: a number for programs, a text for people. */
export class ApiError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Api {
  constructor(session) {
    this.session = session;
  }

  /** All rooms, the one that spoke last first. */
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

  member(memberId) {
    return this.call('GET', `/api/members/info?memberId=${memberId}`);
  }

  async call(method, path) {
    let response = await this.ask(method, path);
    if (response.status === 401) {
      await this.session.renew();
      response = await this.ask(method, path);
    }
    const answer = await response.json();
    if (answer.code !== 0) throw new ApiError(answer.code, answer.message);
    return answer.data;
  }

  ask(method, path) {
    return fetch(path, { method, ...this.session.proof, signal: AbortSignal.timeout(ANSWER_MAX_MS) });
  }
}
