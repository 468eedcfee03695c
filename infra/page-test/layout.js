// How the page lies on the screen.

import assert from 'node:assert/strict';

/** Nothing is wider than the screen. */
export async function fits(tab) {
  const over = await tab.page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const wide = [...document.querySelectorAll('body *')].filter((one) => {
      const { right, width } = one.getBoundingClientRect();
      return width > 0 && right > clientWidth + 0.5 && !one.closest('.filters, .offer-pictures');
    });
    return { by: scrollWidth - clientWidth, wide: wide.map((one) => one.className || one.tagName) };
  });
  assert.deepEqual(over, { by: 0, wide: [] });
}

/** What is pressed is large enough for a finger. */
export async function isTouchable(tab) {
  const small = await tab.page.evaluate(() =>
    [...document.querySelectorAll('button, a, select, input:not([type="radio"], [type="checkbox"], .hidden), textarea')]
      .map((one) => ({ name: one.id || one.className, ...one.getBoundingClientRect().toJSON() }))
      .filter(({ width, height }) => width > 0 && (width < 44 || height < 44))
      .map(({ name }) => name),
  );
  assert.deepEqual(small, []);
}

/** What is pressed or filled in says what it is, to those who do not see it. */
export async function isNamed(tab) {
  const nameless = await tab.page.evaluate(() =>
    [...document.querySelectorAll('button, a, select, input, textarea, progress')]
      .filter((one) => one.checkVisibility())
      // What is in a list or a field is its value, not its name.
      .filter((one) => !(one.getAttribute('aria-label') || one.labels?.[0]?.textContent || (one.matches('a, button') && one.textContent.trim())))
      .map((one) => one.outerHTML.slice(0, 120)),
  );
  assert.deepEqual(nameless, []);
}

/** How much of the window has moved by itself since the page was loaded; browsers call 0.1 good. */
export function shifted(tab) {
  return tab.page.evaluate(
    () =>
      new Promise((resolve) => {
        // What is buffered comes at once; without any shift nothing comes.
        setTimeout(() => resolve(0), 500);
        const sum = (entries) => entries.filter((one) => !one.hadRecentInput).reduce((total, { value }) => total + value, 0);
        new PerformanceObserver((list) => resolve(sum(list.getEntries()))).observe({ type: 'layout-shift', buffered: true });
      }),
  );
}
