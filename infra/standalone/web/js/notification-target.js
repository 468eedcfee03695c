// What a notification is about: the address that shows it, and the conversation that belongs to it.

import { cashHref, marketHref, meHref, tradesHref } from './route.js';

/** The address; `null` for kinds that this page does not have, and what has no place of its own. */
export function hrefOf({ kind, data, createdAt }) {
  const isSeller = data.role === 'SELLER';
  const month = createdAt?.slice(0, 7) ?? '';
  switch (kind) {
    case 'trade.completed':
      if (isSeller) return cashHref({ month, trade: data.tradeId });
      return tradesHref({ trade: data.tradeId, product: data.productIds?.[0] });
    case 'wifi.started':
    case 'wifi.ended':
      // The event has the buyer's trade; a seller's own one is not in it.
      return isSeller ? cashHref({ month }) : tradesHref({ trade: data.tradeId, product: data.productId });
    // Only data can be sold out.
    case 'product.sold_out':
      return marketHref('data', data.productId);
    case 'cash.charged':
    case 'cash.refunded':
    case 'cash.returned':
      return cashHref({ month, trade: data.tradeId });
    case 'review.created':
      return meHref('received');
    case 'chat.message':
      return data.chatRoomId ? `#/room/${data.chatRoomId}` : '#/chat';
    default:
      return null;
  }
}

/** The offers that the member can talk about: with the seller, or with a buyer (`buyerId`). */
export function talkOf({ data }) {
  const productIds = data.productIds ?? data.sales?.map(({ productId }) => productId) ?? [data.productId];
  if (data.role === 'BUYER') return { productIds: productIds.filter(Boolean), buyerId: null };
  if (data.role === 'SELLER' && data.buyerId) return { productIds: productIds.filter(Boolean), buyerId: data.buyerId };
  return null;
}
