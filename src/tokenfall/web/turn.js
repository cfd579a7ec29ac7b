/**
 * One turn as it is played: asked or come back to, followed over broken connections, stopped or left.
 *
 * It must never touch the DOM, ask a question twice, tell a token twice, or return before the answer's genuine end.
 */

import { tokensOf } from './stream.js';
import { pause, unlessAborted } from './waiting.js';

/** How long to wait before each try to come back that brings nothing new; then the turn is given up. */
const COME_BACK_MS = [0, 250, 500, 1000, 2000, 3000, 4000, 4000, 4000, 4000];

/** Not the turn's end, but the connection's: worth coming back. */
const LOST = new Set(['cut', 'unreachable', 'offline', 'overloaded', 'rate_limited', 'unexpected']);

export function isLost(error) {
  if (error.code === 'shutting_down') return error.resumable !== false;
  return LOST.has(error.code) || (error.code === 'http' && [502, 503, 504].includes(error.status)); // a proxy's own
}

export class Turn {
  #api;
  #asked;
  #tell;
  #stopper = new AbortController(); // nobody wants to hear more
  #connection = new AbortController();
  #head = null; // the answer's head, awaited
  #last = '0'; // the newest event that was told
  #tries = 0; // to come back, since then

  /**
   * @param asked { conversation, question, replaces, mayBeGone } of a new turn, with `id` of one to come back to;
   *   what `mayBeGone` is replaced only if it is there
   * @param tell onSend(), onBegin({ turn, model }), onToken(text), onLost(), onBack()
   */
  constructor(api, asked, tell) {
    this.#api = api;
    this.#asked = asked;
    this.#tell = tell;
    this.id = asked.id ?? '';
    this.question = asked.question;
    this.cameBack = this.id !== '';
    this.isStopped = false;
  }

  /** Aborted once nobody wants to hear more. */
  get signal() {
    return this.#stopper.signal;
  }

  get isOver() {
    return this.signal.aborted;
  }

  /** Plays the turn to its genuine end. Throws a Failure, or an AbortError once it was stopped or left. */
  async run() {
    let response = this.id ? await this.#comeBack() : await this.#ask();
    for (;;) {
      try {
        for await (const { text, id } of tokensOf(response, this.signal)) {
          if (id) this.#last = id;
          this.#tries = 0;
          if (text) this.#tell.onToken(text);
        }
        return;
      } catch (error) {
        if (this.isOver || !isLost(error) || !this.id) throw error;
        response = await this.#comeBack(error);
      }
    }
  }

  /** Nothing more is told from now on. Returns once the server has ended the turn too. */
  async stop() {
    this.isStopped = true;
    await this.leave();
    if (this.id) await this.#api.stop(this.id);
  }

  /** As `stop`, but the server goes on. */
  async leave() {
    this.#stopper.abort();
    if (!this.id) await this.#head?.catch(() => null); // until it says what the turn is called
    this.#connection.abort();
  }

  #ask() {
    this.#head = this.#askOnce(this.#asked.replaces)
      .catch((error) => {
        if (error.code === 'conversation_changed' && this.#asked.mayBeGone) return this.#askOnce(null);
        throw error;
      })
      .then((response) => {
        this.id = response.headers.get('X-Turn-Id') ?? '';
        this.#tell.onBegin({ turn: this.id, model: response.headers.get('X-Model') ?? '' });
        return response;
      });
    return unlessAborted(this.#head, this.signal);
  }

  #askOnce(replaces) {
    const { conversation, question: text } = this.#asked;
    return this.#api.ask({ conversation, text, replaces, signal: this.#connection.signal, onSend: this.#tell.onSend });
  }

  /** What is left of the turn, from another connection. `lost` says why the last one ended. */
  async #comeBack(lost = null) {
    this.cameBack = true;
    let failure = lost;
    while (this.#tries < COME_BACK_MS.length) {
      if (failure) this.#tell.onLost();
      await pause(Math.max(COME_BACK_MS[this.#tries], (failure?.retryAfterS ?? 0) * 1000), this.signal);
      this.#tries += 1;
      try {
        const { signal } = this.#connection;
        const response = await this.#api.follow({ turn: this.id, after: this.#last, signal });
        this.#tell.onBack();
        return response;
      } catch (error) {
        if (this.isOver || !isLost(error)) throw error;
        failure = error;
      }
    }
    throw lost ?? failure;
  }
}
