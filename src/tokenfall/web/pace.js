/**
 * The speed of a response: time to first token, and tokens per second after it. A token is one event with text.
 */

export class Pace {
  #sentMs = 0;
  #firstMs = 0;
  #lastMs = 0;
  #tokens = 0;

  /** Starts the clock; called again when the request is repeated. */
  start(nowMs = performance.now()) {
    this.#sentMs = nowMs;
  }

  countToken(nowMs = performance.now()) {
    if (this.#tokens === 0) this.#firstMs = nowMs;
    this.#lastMs = nowMs;
    this.#tokens += 1;
  }

  /** "First token after 0.31 s, then 48.2 tokens/s"; empty without a token. A single token has no rate. */
  get summary() {
    if (this.#tokens === 0) return '';
    const spanMs = this.#lastMs - this.#firstMs;
    const perSecond = this.#tokens < 2 || spanMs < 1 ? null : ((this.#tokens - 1) / spanMs) * 1000;
    return measured((this.#firstMs - this.#sentMs) / 1000, perSecond);
  }
}

/** The same text from measured values; a missing one is omitted. */
export function measured(ttftS, tokensPerS) {
  const first = Number.isFinite(ttftS) ? `First token after ${seconds(ttftS * 1000)}` : '';
  const then = Number.isFinite(tokensPerS) ? `${rate(tokensPerS)} tokens/s` : '';
  return [first, then].filter(Boolean).join(', then ');
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

function rate(perSecond) {
  return perSecond < 100 ? perSecond.toFixed(1) : String(Math.round(perSecond));
}
