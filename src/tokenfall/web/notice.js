/**
 * What the page tells its reader beside the conversation: a polite status, and errors as alerts.
 *
 * It must never announce a countdown second by second: the alert says the time once,
 * the ticking figure is for the eye only.
 */

const find = (id) => document.querySelector(id);

let brief = null; // what is said for a moment: { before, timer }

export function showStatus(text) {
  clearTimeout(brief?.timer);
  brief = null;
  find('#status').textContent = text;
}

/** Says `text` for a moment, and then again what was said before, unless something else has been said meanwhile. */
export function showBriefly(text, ms) {
  const before = brief?.before ?? find('#status').textContent;
  showStatus(text);
  brief = { before, timer: setTimeout(() => showStatus(before), ms) };
}

export class Notice {
  #box = find('#notice');
  #text = find('#notice-text');
  #left = find('#notice-left');
  #again = find('#notice-again');
  #timer = 0;
  #code = ''; // of what is told

  constructor() {
    find('#notice-close').addEventListener('click', () => this.clear());
  }

  /**
   * @param {Failure} failure what to tell; its wait, if it has one, is counted down
   * @param again optional { label, run, meanwhile }: a button that tries once more; `meanwhile` says what the page does
   *   by itself when the wait is over, and is 'Loading again' or the like
   */
  showFailure(failure, again = null) {
    this.clear();
    this.#code = failure.code;
    const request = failure.isOfServer && failure.requestId ? `(Request ${failure.requestId})` : '';
    this.#text.textContent = [failure.words, waitOf(failure, again), request].filter(Boolean).join(' ');
    this.#box.classList.add('shown');
    this.#again.hidden = again === null;
    this.#again.textContent = again?.label ?? '';
    this.#again.onclick = again?.run ?? null;
    const waited = again?.meanwhile ? again.run : () => this.#tellWaited(again);
    if (failure.retryAfterS > 0) this.#countDown(performance.now() + failure.retryAfterS * 1000, waited);
  }

  /** Whoever is in it by keyboard goes on with the message. */
  clear() {
    if (this.#box.contains(document.activeElement)) find('#draft').focus();
    clearTimeout(this.#timer);
    this.#code = '';
    this.#text.textContent = '';
    this.#left.textContent = '';
    this.#box.classList.remove('shown');
  }

  /** The browser has a network again: that it had none is no news any more. */
  clearOffline() {
    if (this.#code !== 'offline') return;
    this.clear();
    showStatus('Back online. You can send again.');
  }

  /** The button stays: what it does is possible now. */
  #tellWaited(again) {
    this.#left.textContent = '';
    if (again) {
      this.#text.textContent = 'You can send again.';
      return;
    }
    this.clear();
    showStatus('You can send again.');
  }

  /** Measures what is left each time, so that a tab that slept shows the right figure. */
  #countDown(untilMs, waited) {
    const leftMs = untilMs - performance.now();
    if (leftMs <= 0) {
      waited();
      return;
    }
    this.#left.textContent = clock(Math.ceil(leftMs / 1000));
    this.#timer = setTimeout(() => this.#countDown(untilMs, waited), leftMs % 1000 || 1000);
  }
}

/** What follows when the failure's wait is over. */
function waitOf({ code, retryAfterS, status }, again) {
  if (retryAfterS > 0) return `${again?.meanwhile || 'Send again'} in ${duration(retryAfterS)}.`;
  const isBusy = status === 429 || status === 503 || code === 'upstream_rate_limited';
  return isBusy ? `${again?.meanwhile ? again.label : 'Send again'} in a moment.` : '';
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

function duration(seconds) {
  if (seconds < 120) return seconds === 1 ? '1 second' : `${seconds} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}
