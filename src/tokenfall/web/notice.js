/**
 * A polite status, and errors as alerts.
 *
 * It must never announce a countdown every second: the alert has the time once, and the visible countdown is hidden from
 * screen readers.
 */

const find = (id) => document.querySelector(id);

let brief = null; // a temporary status: { before, timer }

export function showStatus(text) {
  clearTimeout(brief?.timer);
  brief = null;
  find('#status').textContent = text;
}

/** Shows `text` for `ms`, then the previous status again, unless it was changed meanwhile. */
export function showBriefly(text, ms) {
  const before = brief?.before ?? find('#status').textContent;
  showStatus(text);
  brief = { before, timer: setTimeout(() => showStatus(before), ms) };
}

export class Notice {
  #box = find('#notice');
  #text = find('#notice-text');
  #countdown = find('#notice-left');
  #again = find('#notice-again');
  #timer = 0;
  #code = ''; // of the failure that is shown

  constructor() {
    find('#notice-close').addEventListener('click', () => this.clear());
  }

  /**
   * @param {Failure} failure its wait, if it has one, is counted down
   * @param again optional { label, run, meanwhile }: a button that tries again; if `meanwhile` is given, such as 'Loading
   *   again', the page does so by itself when the wait is over
   */
  showFailure(failure, again = null) {
    this.clear();
    this.#code = failure.code;
    const request = failure.isOfServer && failure.requestId ? `(Request ${failure.requestId})` : '';
    const wait = waitOf(failure, again);
    const words = wait ? failure.text.replace(/ Try again\.$/, '') : failure.text;
    this.#text.textContent = [words, wait, request].filter(Boolean).join(' ');
    this.#box.classList.add('shown');
    this.#again.hidden = again === null;
    this.#again.textContent = again?.label ?? '';
    this.#again.onclick = again?.run ?? null;
    const waited = again?.meanwhile ? again.run : () => this.#showWaited(again);
    if (failure.retryAfterS > 0) this.#countDown(performance.now() + failure.retryAfterS * 1000, waited);
  }

  /** Moves the focus from the notice to the text area. */
  clear() {
    if (this.#box.contains(document.activeElement)) find('#draft').focus();
    clearTimeout(this.#timer);
    this.#code = '';
    this.#text.textContent = '';
    this.#countdown.textContent = '';
    this.#box.classList.remove('shown');
  }

  /** Replaces the offline notice when the network is back. */
  clearOffline() {
    if (this.#code !== 'offline') return;
    this.clear();
    showStatus('Back online. You can send again.');
  }

  /** The wait is over: the button stays. */
  #showWaited(again) {
    this.#countdown.textContent = '';
    if (again) {
      this.#text.textContent = 'You can send again.';
      return;
    }
    this.clear();
    showStatus('You can send again.');
  }

  /** Computes the rest each time, so that it is right after the tab was suspended. */
  #countDown(untilMs, waited) {
    const leftMs = untilMs - performance.now();
    if (leftMs <= 0) {
      waited();
      return;
    }
    this.#countdown.textContent = clock(Math.ceil(leftMs / 1000));
    this.#timer = setTimeout(() => this.#countDown(untilMs, waited), leftMs % 1000 || 1000);
  }
}

/** The sentence about the failure's wait. */
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
