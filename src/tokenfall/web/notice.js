/**
 * The status line (a polite live region), and errors as alerts.
 *
 * An alert announces its wait once; the visible countdown is hidden from screen readers.
 */

import { find } from './elements.js';

const SHOWN_MS = 4000;

let brief = null; // the temporary status: { before, timer }

export function showStatus(text) {
  clearTimeout(brief?.timer);
  brief = null;
  find('#status').textContent = text;
}

/** Shows `text` for some seconds, then the previous status again, unless the status has changed meanwhile. */
export function showBriefly(text, ms = SHOWN_MS) {
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
  #code = ''; // of the failure shown

  constructor() {
    find('#notice-close').addEventListener('click', () => this.clear());
  }

  /**
   * @param {Failure} failure its Retry-After, if any, is counted down
   * @param retry { label, run, meanwhile } of the retry button, or null; with `meanwhile`, for example 'Loading again',
   *   `run` is called when the wait is over
   */
  showFailure(failure, retry = null) {
    this.clear();
    this.#code = failure.code;
    const request = failure.isOfServer && failure.requestId ? `(Request ${failure.requestId})` : '';
    const wait = waitOf(failure, retry);
    const text = wait ? failure.text.replace(/ Try again\.$/, '') : failure.text;
    this.#text.textContent = [text, wait, request].filter(Boolean).join(' ');
    this.#box.classList.add('shown');
    this.#again.hidden = retry === null;
    this.#again.textContent = retry?.label ?? '';
    this.#again.onclick = retry?.run ?? null;
    const waited = retry?.meanwhile ? retry.run : () => this.#showWaited(retry);
    if (failure.retryAfterS > 0) this.#countDown(performance.now() + failure.retryAfterS * 1000, waited);
  }

  /** Hides the alert. If it has the focus, the text area gets it. */
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

  /** Called when the wait is over; the button stays. */
  #showWaited(retry) {
    this.#countdown.textContent = '';
    if (retry) {
      this.#text.textContent = 'You can send again.';
      return;
    }
    this.clear();
    showStatus('You can send again.');
  }

  /** Uses the clock at each step, so that the countdown is correct after the tab was suspended. */
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

/** The sentence that says when to retry. */
function waitOf({ code, retryAfterS, status }, retry) {
  if (retryAfterS > 0) return `${retry?.meanwhile || 'Send again'} in ${duration(retryAfterS)}.`;
  const isBusy = status === 429 || status === 503 || code === 'upstream_rate_limited';
  return isBusy ? `${retry?.meanwhile ? retry.label : 'Send again'} in a moment.` : '';
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

function duration(seconds) {
  if (seconds < 120) return seconds === 1 ? '1 second' : `${seconds} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}
