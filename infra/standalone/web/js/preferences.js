// What the member wants to be notified of, and for how long which rooms are muted.

import { nowOnWire } from './time.js';

/** The longest mute, a year: until it is ended. */
export const MUTE_MINUTES_MAX = 525_600;

export class Preferences extends EventTarget {
  constructor(api) {
    super();
    this.api = api;
    /** `chat`, `trade`, `marketing`, each `push`, `live` or `none`; `null` until they are read. */
    this.chosen = null;
    /** Ends of mutes, by room. */
    this.mutes = new Map();
    this.problem = null;
  }

  async load() {
    try {
      const { mutes, ...chosen } = await this.api.preferences();
      this.chosen = chosen;
      this.mutes = new Map(mutes.map(({ chatRoomId, until }) => [chatRoomId, until]));
      this.problem = null;
    } catch (error) {
      this.problem = error;
    }
    this.changed();
  }

  async choose(name, channel) {
    await this.api.setPreferences({ [name]: channel });
    this.chosen = { ...this.chosen, [name]: channel };
    this.changed();
  }

  /** When the mute of a room ends; `null` if it is not muted. */
  mutedUntil(roomId) {
    const until = this.mutes.get(roomId);
    return until && until > nowOnWire() ? until : null;
  }

  async mute(roomId, minutes) {
    const { until } = await this.api.mute(roomId, minutes);
    this.mutes.set(roomId, until);
    this.changed();
  }

  async unmute(roomId) {
    await this.api.unmute(roomId);
    this.mutes.delete(roomId);
    this.changed();
  }

  changed() {
    this.dispatchEvent(new CustomEvent('change'));
  }
}
