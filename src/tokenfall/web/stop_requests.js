/**
 * Requests to stop turns. The next question waits for them, but at most MAX_WAIT_MS.
 */

import { asFailure } from './failures.js';

const MAX_WAIT_MS = 4000;

export class StopRequests {
  #notice;

  constructor(notice) {
    this.#notice = notice;
    /** Resolves when the next question may be sent. */
    this.done = Promise.resolve();
  }

  stop(turn) {
    const stopped = turn.stop().catch((error) => {
      if (error.name === 'AbortError') return;
      this.#notice.showFailure(asFailure(error), { label: 'Stop again', run: () => this.#retry(turn) });
    });
    this.waitFor(stopped);
  }

  waitFor(stopped) {
    this.done = Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, MAX_WAIT_MS))]);
  }

  #retry(turn) {
    this.#notice.clear();
    this.stop(turn);
  }
}
