/**
 * The reasoning of a model as DOM: folded, with its duration.
 *
 * It must never parse text as HTML, be a part of the response's text, or be announced.
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

  /** Appends the next piece; `isRestart`: the text restarts with it. */
  append(text, isRestart = false, nowMs = performance.now()) {
    if (isRestart) this.#text.data = '';
    this.#startMs ||= nowMs;
    this.#endMs = nowMs;
    this.#text.appendData(text);
  }

  /** Ends it; `seconds` is the server's duration, null to use the one measured here. */
  end(seconds = null) {
    this.#summary.textContent = reasoningLabel(seconds ?? (this.#endMs - this.#startMs) / 1000);
  }
}
