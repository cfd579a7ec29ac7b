/**
 * Turns that are being stopped, until the server has ended them.
 *
 * It must never delay the next question for longer than STOPPED_MS.
 */

import { asFailure } from './failures.js';

const STOPPED_MS = 4000;

export class StopRequests {
  #notice;

  constructor(notice) {
    this.#notice = notice;
    /** Resolves when the next question may be asked. */
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
    this.done = Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, STOPPED_MS))]);
  }

  #retry(turn) {
    this.#notice.clear();
    this.stop(turn);
  }
}
