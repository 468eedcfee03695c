// Events as the market posts them, by hand: what a check cannot wait for (time that is booked begins with a minute) or
// a market of a later version would send.

import assert from 'node:assert/strict';
import { createPublicKey, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const SEOUL_AHEAD_MS = 9 * 60 * 60 * 1000;

/** This moment, or so many minutes later, as the wire has it. */
export function koreanTime(minutes = 0) {
  return new Date(Date.now() + SEOUL_AHEAD_MS + minutes * 60_000).toISOString().slice(0, 23);
}

/** Posts these events: `{kind, members, data, aggregate?}`; returns their ids. */
export async function post(server, ...events) {
  const envelopes = events.map(({ kind, members, data, aggregate = 'trade:9999' }, nth) => ({
    v: 1, eventId: randomBytes(16).toString('base64url'), kind, aggregate, aggregateSeq: nth + 1, occurredAt: koreanTime(), members, data,
  }));
  const response = await fetch(`${server.url}/internal/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${serviceToken(server.data)}` },
    body: JSON.stringify({ postedAt: koreanTime(), events: envelopes }),
  });
  assert.equal(response.status, 200, await response.clone().text());
  return envelopes.map(({ eventId }) => eventId);
}

/** Start or end of time that member 1 has booked with member 2. */
export function booking(state, { tradeId = 9001, from = koreanTime(-1), to = koreanTime(30) } = {}) {
  const data = { tradeId, buyerId: 1, productId: 900, sellerId: 2, startTime: from, endTime: to };
  return { kind: `wifi.${state}`, members: [1, 2], data, aggregate: `trade:${tradeId}` };
}

/** Something that only a later version has. */
export function novelty(member) {
  return { kind: 'coupon.granted', members: [member], data: { couponId: 5 }, aggregate: `member:${member}` };
}

/** Signed with the key of the server's folder, as `dapanda room` does. */
function serviceToken(folder) {
  const key = readFileSync(join(folder, 'dev-key.pem'), 'utf8');
  const { x, y } = createPublicKey(key).export({ format: 'jwk' });
  const now = Math.floor(Date.now() / 1000);
  const { kid } = JSON.parse(readFileSync(join(folder, 'jwks.json'), 'utf8')).keys.find((one) => one.x === x && one.y === y);
  const claims = { iss: 'dapanda', aud: 'dapanda', sub: 'page-test', typ: 'service', iat: now, exp: now + 300, jti: randomBytes(8).toString('hex') };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'ES256', typ: 'JWT', kid })}.${part(claims)}`;
  return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}
