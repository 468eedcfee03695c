// Routes: all state that a reload or the back button should keep is in the hash of the address:
//
//   #/market/data?sort=PRICE_ASC   #/market/wifi/12?place=2&open=1   #/chat   #/room/7   #/me
//   #/mine?state=SOLD_OUT   #/mine/new/data   #/mine/edit/wifi/12   #/scrap?amount=0.7
//   #/trades?trade=9   #/trades/cash?month=2025-08&trade=9
//   #/charge   #/charge/done?paymentKey=…&orderId=…&amount=1000   #/charge/failed?code=…   #/refund
//   #/member/2?sort=RATING_DESC   #/me/received   #/me/written?sort=OLDEST   #/me/blocked   #/me/close
//   #/admin?state=UPHELD   #/admin/report/12?state=UPHELD   #/admin/audit, for administrators
//   #/notification?kind=trade.completed&data={…}, from a notification of the system: leads to what it is about

const KIND = '(data|wifi|hotspot)';
const MARKET = new RegExp(`^/market/${KIND}(?:/(\\d+))?$`);
const NEW = new RegExp(`^/mine/new/${KIND}$`);
const EDIT = new RegExp(`^/mine/edit/${KIND}/(\\d+)$`);
const MEMBER = /^\/member\/(\d+)$/;
const PART = /^\/me\/(received|written|blocked|close)$/;
const REPORT = /^\/admin\/report\/(\d+)$/;
const ROOM = /^\/room\/(\d+)$/;

/** Views beside the purchases, by their paths. */
const MONEY = { '/charge': 'charge', '/charge/done': 'charged', '/charge/failed': 'failed', '/refund': 'refund' };

/**
 * `pane` is `market`, `chat`, `trades`, `mine`, `me`, `member` or `admin`, or `notification`, which leads to one of them;
 * `detail`: whether a phone shows the right part.
 */
export function route(hash = location.hash) {
  const [path, query = ''] = hash.replace(/^#/, '').split('?');
  const choice = Object.fromEntries(new URLSearchParams(query));
  const room = path.match(ROOM)?.[1];
  if (room) return { pane: 'chat', room: Number(room), detail: true };
  if (path === '/chat') return { pane: 'chat', room: null, detail: false };
  if (path === '/me') return { pane: 'me', part: null, choice, detail: false };
  const part = path.match(PART)?.[1];
  if (part) return { pane: 'me', part, choice, detail: true };
  const member = path.match(MEMBER)?.[1];
  if (member) return { pane: 'member', member: Number(member), choice, detail: true };
  if (path === '/admin') return { pane: 'admin', report: null, choice, detail: false };
  if (path === '/admin/audit') return { pane: 'admin', report: null, audit: true, choice, detail: true };
  const report = path.match(REPORT)?.[1];
  if (report) return { pane: 'admin', report: Number(report), choice, detail: true };
  if (path === '/notification') return { pane: 'notification', notification: { kind: choice.kind ?? '', data: objectOf(choice.data) } };
  if (path === '/scrap') return { pane: 'market', kind: 'data', offer: null, scrap: true, choice, detail: true };
  if (path === '/trades') return { pane: 'trades', choice, detail: false };
  if (path === '/trades/cash') return { pane: 'trades', choice, detail: true };
  if (Object.hasOwn(MONEY, path)) return { pane: 'trades', money: MONEY[path], choice, detail: true };
  if (path === '/mine') return { pane: 'mine', form: null, choice, detail: false };
  const make = path.match(NEW)?.[1];
  if (make) return { pane: 'mine', form: { kind: make, id: null }, choice, detail: true };
  const [, editKind, editId] = path.match(EDIT) ?? [];
  if (editKind) return { pane: 'mine', form: { kind: editKind, id: Number(editId) }, choice, detail: true };
  const [, kind = 'data', id] = path.match(MARKET) ?? [];
  return { pane: 'market', kind, offer: id ? Number(id) : null, choice, detail: Boolean(id) };
}

/** The text's JSON object; empty if it is none. */
function objectOf(text) {
  try {
    return Object(JSON.parse(text ?? 'null'));
  } catch {
    return {};
  }
}

/** The address of a list or an offer of the market; what is chosen as by default is left out. */
export function marketHref(kind, id, choice = {}) {
  return `#/market/${kind}${id ? `/${id}` : ''}${queryOf(choice)}`;
}

export function mineHref(choice = {}) {
  return `#/mine${queryOf(choice)}`;
}

export function scrapHref(choice = {}) {
  return `#/scrap${queryOf(choice)}`;
}

/** The purchases; `trade` is marked, and its seller can be asked about `product`. */
export function tradesHref(choice = {}) {
  return `#/trades${queryOf(choice)}`;
}

/** The receipt of a trade: a page of its own, for print. */
export function receiptHref(tradeId) {
  return `/receipt.html?trade=${tradeId}`;
}

/** The outcome of a payment, as the payment page returned it. */
export function chargedHref({ paymentKey, orderId, amount }) {
  return `#/charge/done${queryOf({ paymentKey, orderId, amount })}`;
}

/** A payment that was given up, or did not take place. */
export function failedHref({ code, orderId }) {
  return `#/charge/failed${queryOf({ code, orderId })}`;
}

/** The changes of cash of a month; by default this one. */
export function cashHref(choice = {}) {
  return `#/trades/cash${queryOf(choice)}`;
}

/** The public page of a member. */
export function memberHref(memberId, choice = {}) {
  return `#/member/${memberId}${queryOf(choice)}`;
}

/** A part of the member's own page. */
export function meHref(part, choice = {}) {
  return `#/me/${part}${queryOf(choice)}`;
}

/** Reports for administrators: a state's list, or one of its reports. */
export function adminHref(choice = {}, report = null) {
  return `#/admin${report ? `/report/${report}` : ''}${queryOf(choice)}`;
}

function queryOf(choice) {
  const query = new URLSearchParams(Object.entries(choice).filter(([, value]) => value));
  return query.size > 0 ? `?${query}` : '';
}
