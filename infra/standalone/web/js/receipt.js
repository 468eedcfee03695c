// Entry point of receipt.html: the receipt of the trade that the address names (`?trade=ID`), for the member of this
// tab or of the site's cookies. It has no connection to the chat, and nothing in it changes anything.

import { Api } from './api.js';
import { byId, element } from './dom.js';
import { describe } from './errors.js';
import { dataText, durationText, wonText } from './format.js';
import { LANGUAGES, choose, language, t, translate } from './i18n.js';
import { ProviderSession, restore, signedInMember } from './session.js';
import { clockText, dateText, dayOf } from './time.js';

translate(document);
switchOf(Object.keys(LANGUAGES).find((one) => one !== language));
byId('receipt-print').addEventListener('click', () => window.print());
load();

async function load() {
  const session = sessionOfTab();
  if (!session) {
    fail(t('receiptLogIn'), element('a', { class: 'button main', href: '/' }, t('logIn')));
    return;
  }
  const trade = Number(new URLSearchParams(location.search).get('trade'));
  if (!Number.isSafeInteger(trade) || trade < 1) {
    fail(t('error4000'));
    return;
  }
  try {
    show(await new Api(session).receipt(trade));
  } catch (error) {
    fail(describe(error), element('button', { type: 'button', class: 'button', onclick: () => location.reload() }, t('tryAgain')));
  }
}

/** A new tab has no session of its own, but the site's cookies. */
function sessionOfTab() {
  const signedIn = signedInMember();
  return restore() ?? (signedIn && new ProviderSession(signedIn));
}

function switchOf(other) {
  const button = byId('receipt-language');
  button.lang = other;
  button.textContent = LANGUAGES[other];
  button.addEventListener('click', () => choose(other));
}

function fail(text, way) {
  fill(element('p', { class: 'problem', role: 'alert' }, text), way);
}

function fill(...parts) {
  byId('receipt').setAttribute('aria-busy', 'false');
  byId('receipt').replaceChildren(...parts.filter(Boolean));
}

function show(receipt) {
  // Also the name that browsers propose for the PDF.
  document.title = `${t(`receipt${receipt.kind}`)} ${receipt.number}`;
  fill(
    element('header', { class: 'receipt-head' }, element('h1', {}, t(`receipt${receipt.kind}`)), element('span', { class: 'receipt-brand' }, t('appName'))),
    facts(receipt),
    receipt.lines.length > 0 && lines(receipt),
    receipt.refund && legs(receipt.refund.legs),
    sums(receipt),
    linkTo(receipt.charge?.receiptUrl),
    element('p', { class: 'receipt-note' }, t('receiptNote')),
  );
  byId('receipt-print').disabled = false;
}

function facts({ number, kind, createdAt, issuedAt, member, counterparty, charge, refund }) {
  const other = kind === 'SALE' ? t('receiptBuyer') : t('seller');
  const rows = [
    [t('receiptNumber'), number],
    [t('receiptTradedAt'), momentText(createdAt)],
    [t('receiptMember'), member.name],
    [t('receiptIssuedAt'), momentText(issuedAt)],
    [other, counterparty?.name],
    [t('receiptOrder'), charge?.orderId],
    [t('receiptMethod'), charge?.method],
    [t('receiptApproved'), charge?.approvedAt && momentText(charge.approvedAt)],
    [t('receiptState'), refund && t(`receipt${refund.state}`)],
    [t('receiptState'), kind === 'REFUND' && !refund && t('receiptReversed')],
  ];
  return list('receipt-facts', rows);
}

/** Names and values; those without a value are left out. */
function list(name, rows) {
  const row = ([title, value, mark]) => element('div', { class: mark }, element('dt', {}, title), element('dd', {}, value));
  return element('dl', { class: name }, ...rows.filter(([, value]) => value).map(row));
}

function lines({ kind, counterparty, lines: offers }) {
  const row = (line) => {
    // The sellers of a combination differ.
    const seller = kind === 'PURCHASE' && !counterparty ? line.memberName : null;
    const more = [seller, line.startTime && periodText(line)].filter(Boolean).join(' · ');
    return element(
      'tr',
      {},
      element('td', {}, line.title ?? t('receiptData'), more && element('span', { class: 'receipt-more' }, more)),
      element('td', {}, line.dataAmount == null ? minutesText(line) : dataText(line.dataAmount)),
      element('td', {}, wonText(line.price)),
    );
  };
  return table([t('receiptItem'), t('receiptAmount'), t('price')], offers.map(row));
}

function legs(parts) {
  if (parts.length === 0) return null;
  const row = ({ kind, state, amount }) =>
    element('tr', {}, element('td', {}, t(`receipt${kind}`)), element('td', {}, t(`receipt${state}`)), element('td', {}, wonText(amount)));
  return table([t('receiptWay'), t('receiptState'), t('receiptAmountOfMoney')], parts.map(row));
}

function table(heads, rows) {
  const head = (text) => element('th', { scope: 'col' }, text);
  return element('table', {}, element('thead', {}, element('tr', {}, ...heads.map(head))), element('tbody', {}, ...rows));
}

function sums({ kind, total, fee, paidFrom, charge, refund }) {
  const shown = (amount) => amount != null && wonText(amount);
  const some = (amount) => amount > 0 && wonText(amount);
  const rows = [
    [t('receiptSalePrice'), kind === 'SALE' && wonText(total + fee)],
    [t('receiptFee'), shown(fee)],
    [t('receiptFromCharged'), some(paidFrom?.charged)],
    [t('receiptFromEarned'), some(paidFrom?.earned)],
    [t('receiptRequested'), shown(refund?.requested)],
    [t('receiptReturned'), some(refund?.returned)],
    [t('receiptPaid'), refund && refund.paid !== total && wonText(refund.paid)],
    [t(`receiptTotal${kind}`), wonText(total), 'receipt-total'],
    [t('receiptCanceled'), some(charge?.canceled)],
  ];
  return list('receipt-sums', rows);
}

/** The gateway's own receipt; another scheme is never followed. */
function linkTo(url) {
  if (!url?.startsWith('https://')) return null;
  return element('a', { class: 'receipt-link', href: url, target: '_blank', rel: 'noopener noreferrer' }, t('receiptGateway'));
}

function momentText(wire) {
  return `${dateText(wire)} ${clockText(wire)}`;
}

function minutesText({ timeAmount }) {
  return timeAmount == null ? '' : durationText(timeAmount);
}

/** The day once if the time ends on it. */
function periodText({ startTime, endTime }) {
  const to = dayOf(startTime) === dayOf(endTime) ? clockText(endTime) : momentText(endTime);
  return t('hours', { from: momentText(startTime), to });
}
