/**
 * The reasoning of a model as DOM: collapsed, with its duration. It is not part of the response's text.
 */

import { element } from './elements.js';

/** "Thought for 5 s", or "Reasoning" without a time. */
export function reasoningLabel(seconds) {
  if (!Number.isFinite(seconds)) return 'Reasoning';
  return seconds < 60 ? `Thought for ${Math.max(1, Math.round(seconds))} s` : `Thought for ${Math.round(seconds / 60)} min`;
}

export class Reasoning {
  #summary = document.createElement('summary');
  #text = document.createTextNode('');
  #startMs = 0;
  #endMs = 0;

  constructor() {
    const body = element('p', '', this.#text);
    body.dir = 'auto';
    this.#summary.textContent = 'Thinking…';
    this.element = element('details', 'reasoning', this.#summary, body);
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
