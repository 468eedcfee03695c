// The dialog that reports a member, an offer, a review or a message to the administrators.

import { countedField } from './counted.js';
import { cancelButton, note, sheet } from './dialog.js';
import { element, icon } from './dom.js';
import { PageError } from './errors.js';
import { form } from './form.js';
import { t } from './i18n.js';
import { REASON_MAX } from './people.js';

const TITLES = { MEMBER: 'reportMember', PRODUCT: 'reportOffer', REVIEW: 'reportReview', CHAT: 'reportMessage' };

const TOO_MANY = 429;

/** `category` is that of the API; `text` is what is reported, in its own words. */
export function reportSheet(people, { category, targetId, text = null }) {
  sheet({
    id: 'report',
    title: t(TITLES[category]),
    content: (close) => {
      const reason = countedField({ id: 'report-reason', label: t('reportReason'), max: REASON_MAX, rows: 3, missing: t('reportReasonMissing') });
      const made = form({
        fields: [reason.node],
        submit: t('reportSend'),
        more: [cancelButton(close)],
        check: () => (reason.check() ? null : reason.input),
        send: async () => {
          await people.report(category, targetId, reason.text()).catch((error) => {
            throw error.status === TOO_MANY ? new PageError(t('reportTooMany')) : error;
          });
          close();
          note(t('reported'));
        },
      });
      return [element('p', {}, t('reportHow')), text ? element('blockquote', { class: 'quoted' }, text) : null, made].filter(Boolean);
    },
  });
}

/** The button that opens the dialog. */
export function reportButton(people, what) {
  const { category } = what;
  return element(
    'button',
    { type: 'button', class: 'quiet report', 'data-report': category, 'aria-label': t(TITLES[category]), onclick: () => reportSheet(people, what) },
    icon('flag'),
    t('report'),
  );
}
