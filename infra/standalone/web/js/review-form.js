// The dialogs that write, change and delete a review.

import { countedField } from './counted.js';
import { cancelButton, confirm, note, sheet } from './dialog.js';
import { element } from './dom.js';
import { describe } from './errors.js';
import { form, mark } from './form.js';
import { t } from './i18n.js';
import { COMMENT_MAX } from './people.js';
import { starChoice } from './stars.js';

/** `what` was bought or sold; `send({rating, comment})` stores the review, or changes `before` to it; `after()`: the dialog is closed. */
export function reviewSheet({ title, what, before = null, done, send, after }) {
  sheet({
    id: 'review',
    title,
    after,
    content: (close) => {
      const choice = starChoice('review-rating', before?.rating ?? null);
      const { input } = choice;
      input.addEventListener('change', () => mark(input, ''));
      const rating = element(
        'div',
        { class: 'field' },
        element('span', { class: 'field-label', 'aria-hidden': 'true' }, t('reviewRating')),
        choice.node,
        element('p', { class: 'field-problem', id: 'review-rating-problem', role: 'alert' }),
      );
      const comment = countedField({ id: 'review-comment', label: t('reviewComment'), max: COMMENT_MAX, value: before?.comment ?? '' });
      const made = form({
        fields: [rating, comment.node],
        submit: before ? t('save') : t('reviewSend'),
        more: [cancelButton(close)],
        check: () => {
          const isRated = mark(input, choice.rating() == null ? t('reviewRatingMissing') : '');
          const isFine = comment.check();
          if (!isRated) return input;
          return isFine ? null : comment.input;
        },
        send: async () => {
          await send({ rating: choice.rating(), comment: comment.text() });
          close();
          note(done);
        },
      });
      return [element('p', {}, what), made];
    },
  });
}

/** Asks, and deletes; whether it is deleted. */
export async function deleteReview(reviews, row) {
  const sure = await confirm({ title: t('reviewDeleteTitle'), text: t('reviewDeleteText'), yes: t('delete') });
  if (!sure) return false;
  try {
    await reviews.delete(row);
    note(t('reviewDeleted'));
    return true;
  } catch (error) {
    note(describe(error));
    return false;
  }
}
