/**
 * What the server tells of itself, one sample a second, for as long as somebody looks.
 *
 * It connects again whenever the connection ends, and not at all while the tab is hidden; tabs share one connection.
 * It must never touch the page, have two connections, or ask for a key again after the reader said no.
 */

import { wordsFor } from './board_words.js';
import { Failure } from './failures.js';
import { request } from './request.js';
import { join, nameOf } from './shared.js';
import { eventsOf } from './stream.js';
import { pause } from './waiting.js';

/** The server tells something every second: one that says nothing for so long is not there any more. */
const SILENCE_MS = 10_000;

/** And one that says nothing for so long is late: what is shown is not what it does now. */
const LATE_MS = 3000;

const LONGEST_WAIT_S = 10;

/** How long to wait before the next try after so many that brought nothing. */
export function waitS(failures) {
  return Math.min(2 ** failures, LONGEST_WAIT_S);
}

export class BoardFeed {
  #keys;
  #onSample;
  #onState;
  #run = null; // the AbortController of the run under way, aborted while the tab rests; null when refused
  #lateness = 0; // the timer that says that a connection is late
  #silence = 0; // the one that gives it up
  #isLate = false;
  #newest = []; // the event that another tab begins with

  /**
   * @param keys see dialogs.js
   * @param tell `onSample(sample)` for each; `onState(state, words)` whenever the state changes, which is live,
   *   late, waiting (it will try again by itself) or refused (until `start` is called); `words` say why
   */
  constructor(keys, { onSample, onState }) {
    this.#keys = keys;
    this.#onSample = onSample;
    this.#onState = onState;
    document.addEventListener('visibilitychange', () => this.#mind());
  }

  /** Connects at once, or when the tab is seen; in place of the connection or the wait there is. */
  start() {
    this.#leave();
    this.#run = new AbortController();
    if (document.hidden) this.#run.abort();
    else this.#keepUp(this.#run.signal);
  }

  #mind() {
    if (document.hidden) this.#rest();
    else if (this.#run?.signal.aborted) this.start();
  }

  #rest() {
    if (this.#run === null) return;
    this.#leave();
    this.#onState('waiting', '');
  }

  #leave() {
    this.#unlisten();
    this.#run?.abort();
  }

  async #keepUp(signal) {
    for (let failures = 0; ; failures += 1) {
      const failure = await this.#follow(signal, () => (failures = 0)).catch((error) => error);
      if (signal.aborted) return;
      if (!(failure instanceof Failure)) console.error(failure); // nobody can read it, or a defect of the page
      if (failure.status === 401) this.#run = null;
      this.#onState(this.#run ? 'waiting' : 'refused', wordsFor(failure));
      if (this.#run === null) return;
      await pause(waitS(failures) * 1000, signal).catch(() => {}); // aborted: so is the next connection, at once
    }
  }

  /** One connection, until it ends; always throws. */
  async #follow(signal, onBegin) {
    const events = await join({
      name: () => nameOf('board', this.#keys.current),
      read: async () => eventsOf(await request(this.#keys, 'board/events', { signal })),
      since: () => this.#newest,
      signal,
    });
    signal.throwIfAborted();
    let begun = false;
    try {
      this.#listen();
      for await (const event of events) {
        signal.throwIfAborted();
        const body = JSON.parse(event.data);
        if (event.type === 'error') throw Failure.ofEvent(body.error, '');
        this.#newest = [event];
        this.#listen();
        if (!begun) onBegin();
        if (!begun || this.#isLate) this.#onState('live', '');
        begun = true;
        this.#isLate = false;
        this.#onSample(body);
      }
    } finally {
      if (!signal.aborted) this.#unlisten(); // else it is the next run's
    }
    throw new Failure('cut');
  }

  /** Begins anew at once where nothing comes from now on, and says before that it is late. */
  #listen() {
    this.#unlisten();
    this.#lateness = setTimeout(() => {
      this.#isLate = true;
      this.#onState('late', '');
    }, LATE_MS);
    this.#silence = setTimeout(() => {
      this.#onState('waiting', wordsFor({ code: 'silent' }));
      this.start();
    }, SILENCE_MS);
  }

  #unlisten() {
    clearTimeout(this.#lateness);
    clearTimeout(this.#silence);
  }
}
