// Starts the page: somebody signs in or a demo member is chosen, then market and chat run until they leave.

import { Chat } from './chat.js';
import { Composer } from './composer.js';
import { ConversationView } from './conversation-view.js';
import { avatar, byId, element, icon } from './dom.js';
import { chooseMember, comeBack } from './login-view.js';
import { MarketView } from './market-view.js';
import { KINDS, Market } from './market.js';
import { OfferView } from './offer-view.js';
import { RoomsView } from './rooms-view.js';
import { fetchDemo, restore } from './session.js';

/** A connection that comes within this time was never away. */
const STATUS_AFTER_MS = 700;

const STATUS = {
  open: '',
  connecting: '연결하는 중…',
  waiting: '연결이 끊겼어요. 다시 연결하고 있어요…',
  blocked: '이용이 제한된 회원이에요.',
  unauthorized: '다시 들어와 주세요.',
};

async function run(session) {
  byId('app').hidden = false;
  const { messageCharsMax } = await fetchDemo().catch(() => ({ messageCharsMax: 250 }));
  const chat = new Chat(session);
  const composer = new Composer({
    charsMax: messageCharsMax,
    onSend: (text) => {
      conversation.wantsEnd = true;
      chat.send(text);
    },
    onTyping: () => chat.tellTyping(),
  });
  const conversation = new ConversationView(chat);
  const rooms = new RoomsView(chat, { leave: () => leave(chat) });
  const market = startMarket(chat);
  const show = {
    open: () => {
      conversation.reset();
      composer.show(chat.openId);
      conversation.render();
      conversation.renderTyping();
      rooms.render();
    },
    rooms: () => {
      rooms.render();
      renderNav(chat);
      conversation.render();
    },
    messages: () => conversation.render(),
    typing: () => conversation.renderTyping(),
    state: () => showState(chat.state),
  };
  // Many changes at once are shown once.
  const due = new Set();
  chat.addEventListener('change', ({ detail }) => {
    if (due.size === 0) queueMicrotask(() => flush(due, show));
    due.add(detail);
  });
  const follow = () => followAddress(market, chat);
  window.addEventListener('hashchange', follow);
  showState(chat.state);
  rooms.render();
  showPane(route());
  renderNav(chat);
  await chat.refreshRooms();
  follow();
  chat.start();
}

function startMarket(chat) {
  const market = new Market(chat.api);
  new MarketView(market);
  new OfferView(market, chat);
  const { memberId, name } = chat.session;
  byId('market-me').replaceChildren(avatar(memberId, name, 'small'), element('span', {}, name));
  for (const button of [byId('leave'), byId('market-leave')]) {
    const text = chat.session.token ? '다른 회원으로 들어가기' : '로그아웃';
    button.title = text;
    button.setAttribute('aria-label', text);
  }
  byId('market-leave').replaceChildren(icon('leave'));
  byId('market-leave').onclick = () => leave(chat);
  return market;
}

/** What the address names: a room, the rooms, an offer, or a list of offers. */
function route() {
  const room = Number(location.hash.match(/^#\/room\/(\d+)$/)?.[1]);
  if (room > 0) return { pane: 'chat', room };
  const [, kind, id] = location.hash.match(/^#\/market\/(\w+)(?:\/(\d+))?$/) ?? [];
  if (!Object.hasOwn(KINDS, kind ?? '')) return { pane: 'chat', room: null };
  return { pane: 'market', kind, offer: Number(id) > 0 ? Number(id) : null };
}

function followAddress(market, chat) {
  const to = route();
  showPane(to);
  renderNav(chat);
  // A room that is not before the member's eyes is not open: what comes there is unread.
  chat.open(to.room ?? null);
  if (to.pane === 'chat') return;
  market.show(to.kind);
  market.open(to.kind, to.offer);
}

function showPane({ pane, offer }) {
  byId('market').hidden = pane !== 'market';
  byId('chat').hidden = pane !== 'chat';
  byId('app').dataset.route = pane === 'market' && offer ? 'offer' : pane;
}

function renderNav(chat) {
  const { pane } = route();
  const unread = chat.rooms.list().reduce((sum, room) => sum + room.unread, 0);
  const badge = unread > 0 ? element('span', { class: 'badge' }, unread > 99 ? '99+' : String(unread)) : null;
  const show = (link, name, ...content) => {
    link.replaceChildren(...content.filter((part) => part != null));
    if (pane === name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  };
  show(byId('to-market'), 'market', icon('market'), '마켓');
  show(byId('to-chat'), 'chat', icon('chat'), '채팅', badge);
}

/** In the order of `show`: who opens a room first forgets the last one. */
function flush(due, show) {
  const now = Object.keys(show).filter((what) => due.has(what));
  due.clear();
  for (const what of now) show[what]();
}

let statusTimer = null;

function showState(state) {
  const status = byId('status');
  document.body.dataset.state = state;
  status.textContent = STATUS[state];
  if (state === 'open') {
    clearTimeout(statusTimer);
    statusTimer = null;
    status.hidden = true;
  } else {
    statusTimer ??= setTimeout(() => (status.hidden = false), STATUS_AFTER_MS);
  }
}

async function leave(chat) {
  try {
    await chat.session.end();
  } catch {
    // Still signed in: to pretend otherwise would leave the cookies to the next person.
    byId('leaving').hidden = false;
    return;
  }
  chat.stop();
  history.replaceState(null, '', '/');
  location.reload();
}

// Last, so that everything above is there.
const { session, problem } = await comeBack();
await run(session ?? (problem ? null : restore()) ?? (await chooseMember(problem)));
