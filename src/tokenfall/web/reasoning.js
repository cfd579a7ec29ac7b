/**
 * The reasoning of a model as DOM: collapsed, with its duration. It is not part of the response's text.
 */

import { create, element } from './elements.js';

/** "Thought for 5 s", or "Reasoning" without a time. */
export function reasoningLabel(seconds) {
  if (!Number.isFinite(seconds)) return 'Reasoning';
  return seconds < 60 ? `Thought for ${Math.max(1, Math.round(seconds))} s` : `Thought for ${Math.round(seconds / 60)} min`;
}

export class Reasoning {
  #summary = create('summary', {}, 'Thinking…');
  #text = document.createTextNode('');
  #startMs = 0;
  #endMs = 0;

  constructor() {
    this.element = element('details', 'reasoning', this.#summary, create('p', { dir: 'auto' }, this.#text));
  }

  /** Appends a piece. `isRestart`: the text starts again with it. */
  append(text, isRestart = false, nowMs = performance.now()) {
    if (isRestart) this.#text.data = '';
    this.#startMs ||= nowMs;
    this.#endMs = nowMs;
    this.#text.appendData(text);
  }

  /** Shows the duration: `seconds`, or the one measured here if null. */
  end(seconds = null) {
    this.#summary.textContent = reasoningLabel(seconds ?? (this.#endMs - this.#startMs) / 1000);
  }
}
