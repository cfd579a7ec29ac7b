/**
 * Shows how long a response has been silent: before its first token, and when it stalls. Hidden from screen readers.
 */

import { create } from './elements.js';

const TICK_MS = 1000;
const STALL_MS = 5000;

/** The text for a silence of `silentMs`; empty if it is short. */
export function silenceLabel(silentMs, { isBegun }) {
  const seconds = Math.floor(silentMs / 1000);
  if (!isBegun) return seconds > 0 ? `Waiting for the first token… ${seconds} s` : '';
  return silentMs >= STALL_MS ? `No new token for ${seconds} s` : '';
}

export class StallIndicator {
  #lastMs = performance.now();
  #isBegun = false;
  #timer = 0;

  constructor() {
    this.element = create('p', { class: 'progress', 'aria-hidden': 'true' });
    this.#timer = setInterval(() => this.#show(), TICK_MS);
  }

  /** Called for each token or piece of reasoning. */
  reset() {
    this.#lastMs = performance.now();
    this.#isBegun = true;
    if (this.element.textContent) this.#show();
  }

  end() {
    clearInterval(this.#timer);
    this.element.remove();
  }

  #show() {
    if (!this.element.isConnected) clearInterval(this.#timer); // another conversation was opened
    this.element.textContent = silenceLabel(performance.now() - this.#lastMs, { isBegun: this.#isBegun });
  }
}
