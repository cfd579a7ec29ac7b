/**
 * What a model thinks before it answers, as DOM: folded, and with how long it took.
 *
 * It must never parse text as HTML, count as a part of the answer, or be announced.
 */

/** "Thought for 5 s"; without a time only that it did. */
export function wordsOfThought(seconds) {
  if (!Number.isFinite(seconds)) return 'Reasoning';
  return seconds < 60 ? `Thought for ${Math.max(1, Math.round(seconds))} s` : `Thought for ${Math.round(seconds / 60)} min`;
}

export class Reasoning {
  #summary = document.createElement('summary');
  #text = document.createTextNode('');
  #startMs = 0;
  #endMs = 0;

  constructor() {
    this.element = document.createElement('details');
    this.element.className = 'reasoning';
    const body = document.createElement('p');
    body.dir = 'auto';
    body.append(this.#text);
    this.#summary.textContent = 'Thinking…';
    this.element.append(this.#summary, body);
  }

  /** The next piece; `isAgain`: of a text that begins once more. */
  append(text, isAgain = false, nowMs = performance.now()) {
    if (isAgain) this.#text.data = '';
    this.#startMs ||= nowMs;
    this.#endMs = nowMs;
    this.#text.appendData(text);
  }

  /** It thinks no more; `seconds` is how long the server says that it thought, null where this page measured it. */
  end(seconds = null) {
    this.#summary.textContent = wordsOfThought(seconds ?? (this.#endMs - this.#startMs) / 1000);
  }
}
