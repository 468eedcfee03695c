// Message input of the open room.

import { byId, icon } from './dom.js';

/** The counter is shown when so few characters are left. */
const COUNT_FROM = 30;

export class Composer {
  /** `charsMax`: the server's limit; `onSend(text)`, `onTyping()`. */
  constructor({ charsMax, onSend, onTyping }) {
    this.charsMax = charsMax;
    this.onSend = onSend;
    this.drafts = new Map();
    this.text = byId('text');
    this.button = byId('send');
    this.button.replaceChildren(icon('send'));
    byId('composer').onsubmit = (event) => {
      event.preventDefault();
      this.send();
    };
    this.text.oninput = () => {
      this.fit();
      if (this.text.value.trim() !== '') onTyping();
    };
    this.text.onkeydown = (event) => this.onKey(event);
    // Pressing the button must not close a phone's keyboard.
    this.button.onpointerdown = (event) => event.preventDefault();
    // On a touch screen Enter inserts a line break; a button sends.
    this.entersLines = matchMedia('(pointer: coarse)').matches;
    if (this.entersLines) this.text.enterKeyHint = 'enter';
  }

  /** Switches to another room; the draft is kept for the return. */
  show(roomId) {
    this.drafts.set(this.roomId, this.text.value);
    this.roomId = roomId;
    this.text.value = this.drafts.get(roomId) ?? '';
    this.fit();
    if (!this.entersLines && roomId != null) this.text.focus();
  }

  onKey(event) {
    // While Hangul is being composed, Enter ends the syllable.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || this.entersLines) return;
    event.preventDefault();
    this.send();
  }

  send() {
    const text = this.text.value.trim();
    if (text === '' || charsOf(text) > this.charsMax) return;
    this.text.value = '';
    this.fit();
    this.text.focus();
    this.onSend(text);
  }

  /** Adapts the height to the text, and updates the counter. */
  fit() {
    this.text.style.height = 'auto';
    this.text.style.height = `${this.text.scrollHeight}px`;
    const chars = charsOf(this.text.value.trim());
    const left = this.charsMax - chars;
    byId('count').textContent = left <= COUNT_FROM ? `${chars}/${this.charsMax}` : '';
    byId('count').classList.toggle('over', left < 0);
    this.button.disabled = chars === 0 || left < 0;
  }
}

/** As the server counts: code points, so an emoji is not two. */
export function charsOf(text) {
  return [...text].length;
}
