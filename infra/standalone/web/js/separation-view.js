// The other member of the open room: the menu at the head of the conversation, and the sentence in place of the composer
// while one of the two has blocked the other. What was written stays readable.

import { blockMember, unblockMember } from './block-form.js';
import { byId, element, icon } from './dom.js';
import { cancelButton, sheet } from './dialog.js';
import { t } from './i18n.js';
import { reportSheet } from './report-form.js';
import { memberHref } from './route.js';

export class SeparationView {
  constructor(chat, people, blocks) {
    this.chat = chat;
    this.people = people;
    this.blocks = blocks;
    this.button = byId('person');
    this.button.onclick = () => this.ask();
    // The name beside it is for pointers only: the button has the name, too.
    this.headings = this.button.nextElementSibling;
    this.headings.onclick = () => this.other && this.ask();
    chat.addEventListener('change', ({ detail }) => ['open', 'rooms', 'separated'].includes(detail) && this.render());
    blocks.addEventListener('change', () => this.onBlocks());
    this.render();
  }

  get room() {
    return this.chat.rooms.get(this.chat.openId);
  }

  /** The other one, as the other views name them; `null` in groups. */
  get other() {
    const { room } = this;
    return room?.otherId == null ? null : { memberId: room.otherId, name: room.otherName };
  }

  /** Undone: the next message says whether the other one has blocked this member, too. */
  onBlocks() {
    if (this.wasBlocked && !this.blocks.has(this.other?.memberId)) this.chat.reunite();
    else this.render();
  }

  render() {
    const { other } = this;
    if (other) this.blocks.load();
    const isBlocked = this.blocks.has(other?.memberId);
    this.wasBlocked = isBlocked;
    const isSeparated = other != null && (isBlocked || this.chat.separated.has(this.chat.openId));
    this.button.disabled = !other;
    this.button.setAttribute('aria-label', other ? t('personMenu', { name: other.name }) : t('talkGroup'));
    this.headings.classList.toggle('to-person', other != null);
    const line = byId('separated');
    byId('composer').hidden = isSeparated;
    byId('text').disabled = isSeparated;
    line.hidden = !isSeparated;
    const undo = isBlocked ? element('button', { type: 'button', class: 'action unblock', onclick: () => this.unblock(other) }, t('unblock')) : null;
    line.replaceChildren(...(isSeparated ? [element('span', {}, t(isBlocked ? 'separatedByMe' : 'error8011')), undo] : []).filter(Boolean));
  }

  async unblock(other) {
    await unblockMember(this.blocks, other);
    byId('text').focus();
  }

  ask() {
    const { other, blocks } = this;
    const isBlocked = blocks.has(other.memberId);
    sheet({
      id: 'person-menu',
      title: other.name,
      content: (close) => {
        const choice = (name, image, text, act) => {
          const onclick = () => {
            close();
            act();
          };
          return element('button', { type: 'button', class: `button ${name}`, onclick }, icon(image), text);
        };
        return [
          element(
            'div',
            { class: 'person-ways' },
            choice('person-page', 'people', t('seeMember'), () => (location.hash = memberHref(other.memberId))),
            choice('report', 'flag', t('reportMember'), () => reportSheet(this.people, { category: 'MEMBER', targetId: other.memberId, text: other.name })),
            isBlocked
              ? choice('block', 'ban', t('unblock'), () => unblockMember(blocks, other))
              : choice('block', 'ban', t('block'), () => blockMember(blocks, other)),
          ),
          element('div', { class: 'dialog-end' }, cancelButton(close)),
        ];
      },
    });
  }
}
