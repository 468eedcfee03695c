// Blocking a member: the question, the button, and what it means.

import { confirm, note } from './dialog.js';
import { element, icon } from './dom.js';
import { describe } from './errors.js';
import { t } from './i18n.js';

/** Asks, and blocks. */
export async function blockMember(blocks, { memberId, name }) {
  const sure = await confirm({ title: t('blockTitle', { name }), text: t('blockText'), yes: t('block') });
  if (sure) await act(() => blocks.block(memberId), t('blockDone', { name }));
}

export function unblockMember(blocks, { memberId, name }) {
  return act(() => blocks.unblock(memberId), t('unblockDone', { name }));
}

async function act(change, text) {
  try {
    await change();
    note(text);
  } catch (error) {
    note(describe(error));
  }
}

/** The button that blocks, or undoes it. */
export function blockButton(blocks, member, look = 'quiet') {
  const isBlocked = blocks.has(member.memberId);
  const onclick = () => (isBlocked ? unblockMember(blocks, member) : blockMember(blocks, member));
  const text = t(isBlocked ? 'unblock' : 'block');
  return element('button', { type: 'button', class: `${look} block`, 'aria-pressed': String(isBlocked), onclick }, icon('ban'), text);
}
