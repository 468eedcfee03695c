// Waiting for something to become true, never longer than a bound.

/** A slow machine under load takes a few seconds for what takes milliseconds. */
const WAIT_MS = 20_000;
const ASK_EVERY_MS = 50;

export async function until(what, holds) {
  const end = Date.now() + WAIT_MS;
  while (Date.now() < end) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
  throw new Error(`not within ${WAIT_MS / 1000} s: ${what}`);
}
