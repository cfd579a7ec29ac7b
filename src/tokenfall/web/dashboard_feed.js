/**
 * The server's live metrics, one sample per second. Tabs share one connection.
 *
 * It reconnects whenever the connection ends, except while the tab is hidden. It must never touch the DOM, have two
 * connections, or ask for a key again after the user declined.
 */

import { delay } from './abortable.js';
import { messageFor } from './dashboard_messages.js';
import { asFailure, Failure } from './failures.js';
import { request } from './request.js';
import { join, nameOf } from './shared_stream.js';
import { eventsOf } from './stream.js';

/** Without a sample for this long, the connection is replaced. The server sends one every second. */
const SILENCE_MS = 10_000;

/** Without a sample for this long, the values are shown as late. */
const LATE_MS = 3000;

const MAX_WAIT_S = 10;

/** The delay before the next attempt after `failures` attempts without a sample. */
export function waitS(failures) {
  return Math.min(2 ** failures, MAX_WAIT_S);
}

export class DashboardFeed {
  #keys;
  #onSample;
  #onState;
  #run = null; // the current run's AbortController, aborted while the tab is hidden; null when refused
  #lateness = 0; // timer for the state `late`
  #silence = 0; // timer for a new connection
  #isLate = false;
  #newest = []; // the latest event, for tabs that join later

  /**
   * @param keys see dialogs.js
   * @param on onSample(sample); onState(state, reason) at each change of state: live, late, waiting (it will reconnect) or
   *   refused (until `start` is called)
   */
  constructor(keys, { onSample, onState }) {
    this.#keys = keys;
    this.#onSample = onSample;
    this.#onState = onState;
    document.addEventListener('visibilitychange', () => this.#onVisibility());
  }

  /** Connects now, or when the tab becomes visible; replaces the current connection or wait. */
  start() {
    this.#disconnect();
    this.#run = new AbortController();
    if (document.hidden) this.#run.abort();
    else this.#reconnectLoop(this.#run.signal);
  }

  #onVisibility() {
    if (document.hidden) this.#suspend();
    else if (this.#run?.signal.aborted) this.start();
  }

  #suspend() {
    if (this.#run === null) return;
    this.#disconnect();
    this.#onState('waiting', '');
  }

  #disconnect() {
    this.#stopTimers();
    this.#run?.abort();
  }

  async #reconnectLoop(signal) {
    for (let failures = 0; ; failures += 1) {
      const error = await this.#follow(signal, () => (failures = 0)).catch((each) => each);
      if (signal.aborted) return;
      const failure = asFailure(error);
      if (failure.status === 401) this.#run = null;
      this.#onState(this.#run ? 'waiting' : 'refused', messageFor(failure));
      if (this.#run === null) return;
      await delay(waitS(failures) * 1000, signal).catch(() => {}); // aborted: the loop ends too
    }
  }

  /** Reads one connection until it ends; always throws. */
  async #follow(signal, onBegin) {
    const events = await join({
      name: () => nameOf('dashboard', this.#keys.current),
      read: async () => eventsOf(await request(this.#keys, 'board/events', { signal })),
      since: () => this.#newest,
      signal,
    });
    signal.throwIfAborted();
    let begun = false;
    try {
      this.#startTimers();
      for await (const event of events) {
        signal.throwIfAborted();
        const body = JSON.parse(event.data);
        if (event.type === 'error') throw Failure.ofEvent(body.error, '');
        this.#newest = [event];
        this.#startTimers();
        if (!begun) onBegin();
        if (!begun || this.#isLate) this.#onState('live', '');
        begun = true;
        this.#isLate = false;
        this.#onSample(body);
      }
    } finally {
      if (!signal.aborted) this.#stopTimers(); // otherwise they are the next run's
    }
    throw new Failure('cut');
  }

  /** Restarts the timers for lateness and for silence. */
  #startTimers() {
    this.#stopTimers();
    this.#lateness = setTimeout(() => {
      this.#isLate = true;
      this.#onState('late', '');
    }, LATE_MS);
    this.#silence = setTimeout(() => {
      this.#onState('waiting', messageFor({ code: 'silent' }));
      this.start();
    }, SILENCE_MS);
  }

  #stopTimers() {
    clearTimeout(this.#lateness);
    clearTimeout(this.#silence);
  }
}
