/**
 * How fast an answer came: time to first token, and tokens a second after it.
 *
 * A token is one event that carried text. It must never read the DOM; it shows nothing
 * that was not measured, so one token has no rate.
 */

export class Pace {
  #sentMs = 0;
  #firstMs = 0;
  #lastMs = 0;
  #tokens = 0;

  /** Starts the clock; once more where a request had to be repeated. */
  start(nowMs = performance.now()) {
    this.#sentMs = nowMs;
  }

  countToken(nowMs = performance.now()) {
    if (this.#tokens === 0) this.#firstMs = nowMs;
    this.#lastMs = nowMs;
    this.#tokens += 1;
  }

  get tokens() {
    return this.#tokens;
  }

  /** For people: "First token after 0.31 s, then 48.2 tokens/s", or empty without a token. */
  get summary() {
    if (this.#tokens === 0) return '';
    const first = `First token after ${seconds(this.#firstMs - this.#sentMs)}`;
    const spanMs = this.#lastMs - this.#firstMs;
    if (this.#tokens < 2 || spanMs < 1) return first;
    return `${first}, then ${rate(((this.#tokens - 1) / spanMs) * 1000)} tokens/s`;
  }
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

function rate(perSecond) {
  return perSecond < 100 ? perSecond.toFixed(1) : String(Math.round(perSecond));
}
