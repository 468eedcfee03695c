// Starts the page: a member is chosen, then the chat runs until they leave.

import { Chat } from './chat.js';
import { Composer } from './composer.js';
import { ConversationView } from './conversation-view.js';
import { byId } from './dom.js';
import { chooseMember } from './login-view.js';
import { RoomsView } from './rooms-view.js';
import { Session, fetchDemo } from './session.js';

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
  byId('chat').hidden = false;
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
  const route = () => chat.open(roomOfAddress());
  window.addEventListener('hashchange', route);
  showState(chat.state);
  rooms.render();
  await chat.refreshRooms();
  route();
  chat.start();
}

/** In the order of `show`: who opens a room first forgets the last one. */
function flush(due, show) {
  const now = Object.keys(show).filter((what) => due.has(what));
  due.clear();
  for (const what of now) show[what]();
}

function roomOfAddress() {
  const id = Number(location.hash.match(/^#\/room\/(\d+)$/)?.[1]);
  return id > 0 ? id : null;
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

function leave(chat) {
  chat.session.end();
  chat.stop();
  history.replaceState(null, '', '/');
  location.reload();
}

// Last, so that everything above is there.
await run(Session.restore() ?? (await chooseMember()));
