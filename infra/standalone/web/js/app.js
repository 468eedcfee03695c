// Entry point: login or choice of a demo member, then market and chat until the member logs out.

import { AccountView } from './account-view.js';
import { AdminView } from './admin-view.js';
import { Blocks } from './blocks.js';
import { Bookings } from './bookings.js';
import { BookingsView } from './bookings-view.js';
import { Charges } from './charges.js';
import { Chat } from './chat.js';
import { Composer } from './composer.js';
import { ConversationView } from './conversation-view.js';
import { byId } from './dom.js';
import { PageError } from './errors.js';
import { t, translate } from './i18n.js';
import { chooseMember, comeBack } from './login-view.js';
import { MarketView } from './market-view.js';
import { Market } from './market.js';
import { MemberView } from './member-view.js';
import { MineView } from './mine-view.js';
import { MONTH_MAX, Mine, round } from './mine.js';
import { MoneyView } from './money-view.js';
import { MuteView } from './mute-view.js';
import { Notifications } from './notifications.js';
import { NotificationSettings } from './notification-settings.js';
import { hrefOf } from './notification-target.js';
import { NotificationsView } from './notifications-view.js';
import { OfferView } from './offer-view.js';
import { comeBackFromPayment, sessionOfSite, takePayment } from './payment-return.js';
import { People } from './people.js';
import { ProfileView } from './profile-view.js';
import { Preferences } from './preferences.js';
import { Purchases } from './purchase.js';
import { Push } from './push.js';
import { Refunds } from './refunds.js';
import { Reviews } from './reviews.js';
import { RoomsView } from './rooms-view.js';
import { route } from './route.js';
import { AMOUNT_FIRST, Scrap } from './scrap.js';
import { ScrapView } from './scrap-view.js';
import { SeparationView } from './separation-view.js';
import { fetchDemo, restore } from './session.js';
import { Shell } from './shell.js';
import { Trades } from './trades.js';
import { TradesView } from './trades-view.js';
import { Wallet } from './wallet.js';

/** Longest message, used if the server's limit cannot be fetched. */
const CHARS_MAX = 250;

/** HTTP status of an unavailable server. */
const UNAVAILABLE = 503;

/** From this width on list and detail are side by side, and the detail is never empty. */
const WIDE = matchMedia('(min-width: 720px)');

async function run(session) {
  const payment = takePayment();
  if (payment) history.replaceState(null, '', `/${payment}`);
  byId('app').hidden = false;
  const chat = new Chat(session);
  const wallet = new Wallet(chat.api);
  const push = new Push(chat.api, chat.session.memberId);
  const shell = new Shell(chat, wallet, { leave: () => leave(chat, push) });
  const market = new Market(chat.api);
  const mine = new Mine(chat.api);
  const scrap = new Scrap(chat.api, wallet);
  const trades = new Trades(chat.api);
  const purchases = new Purchases(chat.api, wallet, { bought: () => traded({ wallet, market, trades }) });
  const moved = () => moneyMoved(wallet, trades);
  const charges = new Charges(chat.api, { charged: moved });
  const refunds = new Refunds(chat.api, chat.session.memberId, { refunded: moved });
  const money = new MoneyView(charges, refunds, wallet);
  new MarketView(market);
  const talk = { ask: (productId) => ask(chat, productId) };
  const social = socialOf(chat, { market, shell, leave: () => closed(chat) });
  new OfferView(market, chat, purchases, social.people, talk);
  new ScrapView(scrap, purchases);
  new TradesView(trades, wallet, social.reviews, talk);
  new MineView(mine, wallet, {
    changed: () => {
      market.forget();
      mine.open(null);
      mine.refresh();
    },
  });
  const preferences = new Preferences(chat.api);
  new MuteView(preferences, chat);
  const settings = new NotificationSettings(preferences, push, chat.rooms);
  const profile = new ProfileView(mine, chat, { settings, shown: (self) => shell.showSelf(self), leave: () => leave(chat, push) });
  const follow = () => followAddress({ chat, shell, market, mine, money, profile, scrap, social, trades, wallet });
  market.addEventListener('change', ({ detail }) => detail === 'list' && preview(market, route()));
  window.addEventListener('hashchange', follow);
  WIDE.addEventListener('change', follow);
  wallet.refresh();
  notify(chat, talk, (kind) => happened(kind, { wallet, market, mine, trades, charges, refunds }));
  document.addEventListener('visibilitychange', () => document.hidden || charges.wake());
  preferences.load();
  push.start((notification) => (location.hash = hrefOf(notification) ?? location.hash));
  await startChat(chat, { people: social.people, preferences, shell, follow });
}

/** Reviews, reports and blocks, with their views. */
function socialOf(chat, { market, shell, leave }) {
  const { memberId } = chat.session;
  const people = new People(chat.api);
  const reviews = new Reviews(people);
  // Offers of the two are out of sight of each other, or in sight again.
  const blocks = new Blocks(people, memberId, { changed: () => market.reshow() });
  new SeparationView(chat, people, blocks);
  return {
    people,
    reviews,
    member: new MemberView(people, reviews, blocks, memberId),
    account: new AccountView(people, reviews, blocks, { self: memberId, closed: leave }),
    admin: new AdminView(chat.api, { isAdmin: () => shell.showAdmin() }),
  };
}

/** Something was bought: balance, histories, and what is for sale. */
function traded({ wallet, market, trades }) {
  trades.forget();
  wallet.refresh();
  if (route().scrap) market.restart();
  else market.reread();
}

/** Kinds of notifications after which the market's pages are read again. */
const OF_MARKET = ['product.sold_out', 'trade.completed', 'cash.charged', 'cash.refunded', 'cash.returned'];

/** Cash came or left: what is shown is read again. */
function moneyMoved(wallet, trades) {
  wallet.refresh();
  trades.renew();
}

/** Something happened at the market, perhaps in another tab: what is shown follows. */
function happened(kind, { wallet, market, mine, trades, charges, refunds }) {
  if (kind === 'product.sold_out') market.reread();
  if (!OF_MARKET.includes(kind)) return;
  wallet.refresh();
  trades.renew();
  if (kind.startsWith('cash.')) {
    charges.renew();
    refunds.renew();
  }
  if (mine.count !== null) mine.refresh();
}

/** Notifications and running bookings, from the first connection on. */
function notify(chat, talk, changed) {
  const { memberId } = chat.session;
  const notifications = new Notifications(chat.api, chat.connection, memberId);
  new NotificationsView(notifications, chat, talk);
  notifications.addEventListener('ring', ({ detail }) => changed(detail.kind));
  notifications.start();
  const bookings = new Bookings(chat.connection, memberId);
  new BookingsView(bookings);
  bookings.start();
}

/** The chat runs also while the market shows: unread messages are counted. */
async function startChat(chat, { people, preferences, shell, follow }) {
  const composer = new Composer({
    charsMax: CHARS_MAX,
    onSend: (text) => {
      conversation.wantsEnd = true;
      chat.send(text);
    },
    onTyping: () => chat.sendTyping(),
  });
  fetchDemo().then(({ messageCharsMax }) => (composer.charsMax = messageCharsMax)).catch(() => {});
  const conversation = new ConversationView(chat, people);
  const rooms = new RoomsView(chat, preferences);
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
      shell.render();
      conversation.render();
    },
    messages: () => conversation.render(),
    typing: () => conversation.renderTyping(),
    state: () => shell.showState(chat.state),
  };
  // Several changes are rendered together.
  const due = new Set();
  chat.addEventListener('change', ({ detail }) => {
    if (due.size === 0) queueMicrotask(() => flush(due, show));
    due.add(detail);
  });
  shell.showState(chat.state);
  rooms.render();
  follow();
  await chat.refreshRooms();
  // The rooms are loaded now, so the address may name one.
  follow();
  chat.start();
}

/** Panes in the order of `show`: the last room is closed before another is opened. */
function flush(due, show) {
  const now = Object.keys(show).filter((what) => due.has(what));
  due.clear();
  for (const what of now) show[what]();
}

function followAddress({ chat, shell, market, mine, money, profile, scrap, social, trades, wallet }) {
  const to = route();
  if (to.pane === 'notification') {
    location.replace(hrefOf(to.notification) ?? '#/market/data');
    return;
  }
  if (to.pane === 'chat' && to.room == null && showFirstRoom(chat)) return;
  const isNew = shell.show(to);
  // A room that is not visible is not open: its new messages are unread.
  chat.open(to.room ?? null);
  if (to.scrap) {
    market.show('data', {});
    scrap.show(amountOf(to.choice.amount));
  } else {
    scrap.hide();
  }
  if (to.pane === 'market' && !to.scrap) {
    market.show(to.kind, to.choice);
    if (to.offer || !WIDE.matches) market.open(to.kind, to.offer);
    else preview(market, to);
  }
  if (to.pane === 'mine') {
    if (!to.form) mine.show(to.choice.state);
    else mine.show(mine.state);
    mine.open(to.form);
  }
  if (to.pane === 'trades') {
    trades.show(to.choice.month);
    trades.mark(to.choice.trade, to.choice.product);
    if (to.money) money.show(to);
  }
  if (to.pane === 'me') {
    social.account.show(to.part, to.choice);
    if (isNew && !to.part) profile.open();
  }
  if (to.pane === 'member') social.member.open(to.member, to.choice.sort, shell.before);
  if (to.pane === 'admin') social.admin.show(to);
  // Sales change the balance, too: it is read again with each pane.
  if (isNew) wallet.refresh();
  shell.focus(to);
}

/** Of the address: tenths of a gigabyte that may be bought in a month. */
function amountOf(text) {
  const amount = round(Number(text));
  return amount >= 0.1 && amount <= MONTH_MAX ? amount : AMOUNT_FIRST;
}

/** Beside a list an offer is always open: the first one, until another is chosen. */
function preview(market, to) {
  if (to.pane !== 'market' || to.scrap || to.offer || !WIDE.matches) return;
  const [first] = market.rows.keys();
  if (first) market.open(market.kind, first);
  else if (market.complete) market.open(market.kind, null);
}

/** Beside the list of rooms a conversation is always open: the one with the newest message. */
function showFirstRoom(chat) {
  const [first] = chat.rooms.list();
  if (!first || !WIDE.matches) return false;
  location.replace(`#/room/${first.id}`);
  return true;
}

/** Opens the conversation with the seller of this offer; creates the room if there is none. */
async function ask(chat, productId) {
  const room = await chat.api.askSeller(productId).catch((error) => {
    // The market answered, but the chat server is unavailable.
    throw error.status === UNAVAILABLE ? new PageError(t('chatAway')) : error;
  });
  await chat.refreshRooms();
  location.hash = `#/room/${room}`;
}

/** The account was closed: this browser forgets it. */
function closed(chat) {
  chat.stop();
  chat.session.forget();
  location.replace('/?closed=1');
}

async function leave(chat, push) {
  // What comes for this member is not for the next person at this browser.
  await push.leave();
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

// Last, so that everything above is defined.
translate(document);
document.title = t('appName');
const isPaymentBack = comeBackFromPayment();
const { session, problem } = await comeBack();
await run(session ?? (problem ? null : restore()) ?? (isPaymentBack ? sessionOfSite() : null) ?? (await chooseMember(problem)));
