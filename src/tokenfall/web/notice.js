/**
 * What the page tells its reader beside the conversation: a polite status, and errors as alerts.
 *
 * It must never announce a countdown second by second: the alert says the time once,
 * the ticking figure is for the eye only.
 */

const find = (id) => document.querySelector(id);

export function showStatus(text) {
  find('#status').textContent = text;
}

export class Notice {
  #box = find('#notice');
  #text = find('#notice-text');
  #left = find('#notice-left');
  #again = find('#notice-again');
  #timer = 0;

  constructor() {
    find('#notice-close').addEventListener('click', () => {
      this.clear();
      find('#draft').focus();
    });
  }

  /**
   * @param {Failure} failure what to tell; its wait, if it has one, is counted down
   * @param again optional { label, run }: a button that tries once more
   */
  showFailure(failure, again = null) {
    this.clear();
    const parts = [failure.words];
    if (failure.retryAfterS !== null) parts.push(`Send again in ${duration(failure.retryAfterS)}.`);
    else if (failure.status === 429 || failure.status === 503) parts.push('Send again in a moment.');
    if (failure.isOfServer && failure.requestId) parts.push(`(Request ${failure.requestId})`);
    this.#text.textContent = parts.join(' ');
    this.#box.classList.add('shown');
    this.#again.hidden = again === null;
    this.#again.textContent = again?.label ?? '';
    this.#again.onclick = again?.run ?? null;
    if (failure.retryAfterS > 0) this.#countDown(performance.now() + failure.retryAfterS * 1000);
  }

  clear() {
    clearTimeout(this.#timer);
    this.#text.textContent = '';
    this.#left.textContent = '';
    this.#box.classList.remove('shown');
  }

  /** Measures what is left each time, so that a tab that slept shows the right figure. */
  #countDown(untilMs) {
    const leftMs = untilMs - performance.now();
    if (leftMs <= 0) {
      this.clear();
      showStatus('You can send again.');
      return;
    }
    this.#left.textContent = clock(Math.ceil(leftMs / 1000));
    this.#timer = setTimeout(() => this.#countDown(untilMs), leftMs % 1000 || 1000);
  }
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

function duration(seconds) {
  if (seconds < 120) return seconds === 1 ? '1 second' : `${seconds} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}
