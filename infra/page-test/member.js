// A demo member without a page, to set a check up: a session for a tab, requests to the market.

import assert from 'node:assert/strict';

/** A PNG of one pixel. */
const PICTURE = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

export class Member {
  static async logIn(server, memberId) {
    return new Member(server, await call(server, '/dev/login', { memberId }));
  }

  constructor(server, login) {
    this.server = server;
    this.login = login;
  }

  /** What the page of a tab keeps of this login. */
  get session() {
    const { expiresInSeconds, ...login } = this.login;
    return { ...login, endsAt: Date.now() + expiresInSeconds * 1_000 };
  }

  post(path, body) {
    return this.call('POST', path, body);
  }

  call(method, path, body) {
    return call(this.server, path, body, { authorization: `Bearer ${this.login.accessToken}` }, method);
  }

  offerData(offer) {
    return this.post('/api/products/mobile-data', offer);
  }

  offerWifi(offer) {
    return this.post('/api/products/wifi', offer);
  }

  /** The public URLs of so many uploaded pictures. */
  async upload(count) {
    const filenames = Array.from({ length: count }, (_, nth) => `${nth}.png`);
    const slots = await this.post('/api/images/presign', { filenames });
    for (const { url } of slots) {
      const response = await fetch(url, { method: 'PUT', body: PICTURE });
      assert.ok(response.ok, `the upload of a picture: ${response.status}`);
    }
    return slots.map(({ publicUrl }) => publicUrl);
  }
}

async function call(server, path, body, headers = {}, method = 'POST') {
  const response = await fetch(server.url + path, {
    method, headers: { ...(body && { 'content-type': 'application/json' }), ...headers }, body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  assert.equal(answer.code, 0, `${path}: ${JSON.stringify(answer)}`);
  return answer.data;
}
