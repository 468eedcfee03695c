// Members who trade, for checks of reviews and reports: an offer, purchases of it, and what is said about them.

import { Member } from './member.js';

/** Buys and sells nothing at the first start. */
export const SELLER = 8;
export const BUYER = 7;

/** Markup that would run where a page took texts for it; short enough for a comment. */
export const MARKUP = '<img src=x onerror=window.ran=1>';

/** An offer of 0.2 GB by the seller, of which the buyer bought 0.1 GB so many times. */
export async function traded(world, times = 1) {
  const seller = await Member.logIn(world.server, SELLER);
  const buyer = await Member.logIn(world.server, BUYER);
  await seller.offerData({ price: 1_000, dataAmount: 0.2, isSplitType: true });
  const { data: [{ productId }] } = await seller.call('GET', '/api/selling-products?productState=ACTIVE&size=1');
  const trades = [];
  for (let nth = 0; nth < times; nth += 1) {
    const { tradeId } = await buyer.post('/api/trades/mobile-data/default', { productId, mobileDataId: productId, dataAmount: 0.1 });
    trades.push(tradeId);
  }
  return { seller, buyer, productId, trades };
}

/** A spot of the seller, and bookings of it tomorrow, ten minutes each. */
export async function booked(world, times) {
  const seller = await Member.logIn(world.server, SELLER);
  const buyer = await Member.logIn(world.server, BUYER);
  await seller.offerWifi({
    price: 10, title: '후기 서재', content: '', address: '서울 중구', latitude: 37.5657, longitude: 126.9769,
    startTime: '2025-08-01T00:00:00', endTime: '2025-08-01T23:55:00', images: [], capacity: 1,
  });
  const { data: [{ productId }] } = await seller.call('GET', '/api/selling-products?productState=ACTIVE&size=1');
  const { itemId } = await buyer.call('GET', `/api/products/wifi/${productId}`);
  const day = new Date(Date.now() + 33 * 3_600_000).toISOString().slice(0, 10);
  const trades = [];
  for (let nth = 0; nth < times; nth += 1) {
    const hour = String(8 + nth).padStart(2, '0');
    const { tradeId } = await buyer.post('/api/trades/wifi', { productId, wifiId: itemId, startTime: `${day}T${hour}:00:00`, endTime: `${day}T${hour}:10:00` });
    trades.push(tradeId);
  }
  return { seller, buyer, productId, trades };
}

/** Reviews of these trades, one rating each. */
export async function reviewed(member, trades, ratings, comment = '') {
  for (const [nth, tradeId] of trades.entries()) await member.post(`/api/trades/${tradeId}/reviews`, { rating: ratings[nth], comment });
}

/** The demo's administrator. */
export async function administrator(world) {
  const response = await fetch(`${world.server.url}/dev/members`);
  const { memberId } = (await response.json()).data.administrator;
  return { memberId, member: await Member.logIn(world.server, memberId) };
}

/** No text of a member became an element of the page. */
export async function isPlain(tab) {
  const ran = await tab.page.evaluate(() => [window.ran ?? null, document.querySelectorAll('img[onerror]').length]);
  if (ran[0] != null || ran[1] > 0) throw new Error(`a text became markup: ${ran}`);
}
