// Texts of errors, in the words of the screen.

import { ApiError } from './api.js';
import { has, t } from './i18n.js';

/** The text for a failed request. The server's own text is the last resort: it covers errors that this page lacks. */
export function describe(error) {
  if (error instanceof ApiError) {
    if (has(`error${error.code}`)) return t(`error${error.code}`);
    if (error.status === 429) return t('errorTooMany');
    if (error.status >= 500) return t('errorUnavailable');
    return error.message || t('errorUnknown');
  }
  if (error?.name === 'TimeoutError' || error?.name === 'AbortError') return t('errorSlow');
  if (error instanceof PageError) return error.message;
  return t('errorOffline');
}

/** An error of the page itself, with a text for the member. */
export class PageError extends Error {}
