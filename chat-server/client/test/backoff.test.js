import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff } from '../chat-client.js';

const bounds = { retryFirstMs: 1_000, retryMaxMs: 30_000 };

test('waits double up to the bound, and are random from nothing on', () => {
  const longest = [0, 1, 2, 3, 5, 6, 7, 1_000].map((attempt) => backoff(attempt, bounds, () => 1));
  assert.deepEqual(longest, [0, 1_000, 2_000, 4_000, 16_000, 30_000, 30_000, 30_000]);
  assert.deepEqual([1, 5, 9].map((attempt) => backoff(attempt, bounds, () => 0)), [0, 0, 0]);
  assert.equal(backoff(3, bounds, () => 0.25), 1_000);
});
