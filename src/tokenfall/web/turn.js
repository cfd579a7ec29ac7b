/**
 * One turn as it is played: asked or come back to, followed over broken connections, stopped or left.
 *
 * It must never touch the DOM, ask a question twice, tell a token twice, or return before the answer's genuine end.
 */

import { join, lead, nameOf } from './shared.js';
import { tokensOf } from './stream.js';
import { pause, seen, unlessAborted, whenHidden } from './waiting.js';

/** How long to wait before each try to come back that brings nothing new; then the turn is given up. */
const COME_BACK_MS = [0, 250, 500, 1000, 2000, 3000, 4000, 4000, 4000, 4000];

/** How long a hidden page keeps its connection: others may wait for it. */
const HIDDEN_MS = 3000;

/** Who is told to wait for longer is told so, and not that the connection is lost. */
const LONGEST_WAIT_S = 60;

const UNHEARD = new Set(['cut', 'unreachable', 'offline', 'unexpected']);
const FOR_NOW = new Set(['overloaded', 'rate_limited']);

/** Not the server's word: nobody knows what it did. */
export function isUnheard({ code, status }) {
  return UNHEARD.has(code) || (code === 'http' && [502, 503, 504].includes(status)); // a proxy's own
}

/** Not the turn's end, but the connection's: worth coming back. */
export function isLost(error) {
  if (error.code === 'shutting_down') return error.resumable !== false;
  return isUnheard(error) || FOR_NOW.has(error.code);
}

export class Turn {
  #api;
  #asked;
  #tell;
  #stopper = new AbortController(); // nobody wants to hear more
  #connection = new AbortController(); // the one under way
  #isResting = false; // the page is hidden
  #received = []; // the items, for a tab that joins later
  follows = null; // the newest turn that the page knew when this was asked
  #head = null; // the answer's head, awaited
  #last = '0'; // the newest event that was told
  #thinksAgain = false; // the next thought is the first once more
  #tries = 0; // to come back, since then

  /**
   * @param asked { conversation, question, replaces, mayBeGone, key } of a new turn, with `id` of one to come back to;
   *   what `mayBeGone` is replaced only if it is there, `instead` if not; with the same `key` it is the same question;
   *   `isContinued`: the answer of the turn `replaces` goes on; `options` in place of the conversation's;
   *   `isRepeated`: it was sent before with this key
   * @param tell onSend(), onBegin({ turn, model }), onToken(text), onThought(text, isAgain),
   *   onFinish(end), onLost(), onBack()
   */
  constructor(api, asked, tell) {
    this.#api = api;
    this.#asked = asked;
    this.#tell = tell;
    this.id = asked.id ?? '';
    this.question = asked.question;
    this.key = asked.key;
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

  /**
   * Plays the turn to its genuine end; `follows` is the newest turn that the page knows, null where it is not sure.
   * Throws a Failure, or an AbortError once it was stopped or left.
   */
  async run(follows = null) {
    this.follows = follows;
    let items = this.id ? await this.#comeBack() : await this.#begin();
    for (;;) {
      try {
        await this.#tellAll(items);
        return;
      } catch (error) {
        if (this.isOver || !this.id || !(this.#isResting || isLost(error))) throw error;
        items = await this.#comeBack(this.#isResting ? null : error);
      }
    }
  }

  /** A hidden page lets go of its connection: the server goes on, and others may wait for one. */
  async #tellAll(items) {
    const stopWatching = whenHidden(HIDDEN_MS, () => {
      this.#isResting = this.id !== '';
      if (this.#isResting) this.#connection.abort();
    });
    try {
      for await (const item of items) {
        this.signal.throwIfAborted();
        if (!item.id || !(Number(item.id) <= Number(this.#last))) this.#tellItem(item);
      }
    } finally {
      stopWatching();
    }
  }

  #tellItem(item) {
    const { text, id, thought, end } = item;
    if (thought && this.#thinksAgain) this.#received = this.#received.filter((each) => !each.thought);
    this.#received.push(item);
    if (id) this.#last = id;
    this.#tries = 0;
    if (thought) this.#tellThought(thought);
    if (end) this.#tell.onFinish?.(end);
    if (text) this.#tell.onToken(text);
  }

  /** Thoughts have no number: who comes back is told them from the beginning. */
  #tellThought(text) {
    this.#tell.onThought?.(text, this.#thinksAgain);
    this.#thinksAgain = false;
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

  async #begin() {
    const items = tokensOf(await this.#ask(), this.signal);
    return this.id ? lead(this.#sharing(), items) : items;
  }

  /** How this turn is followed by the tabs that show it; see shared.js. */
  #sharing() {
    return {
      name: () => nameOf(this.id, this.#api.key ?? ''),
      read: async () => tokensOf(await this.#follow(), this.signal),
      since: (after) => this.#received.slice(this.#received.findLastIndex(({ id }) => id === after) + 1),
      after: () => {
        this.#thinksAgain = true;
        return this.#last;
      },
      signal: this.#connection.signal,
    };
  }

  async #follow() {
    const response = await this.#api.follow({ turn: this.id, after: this.#last, signal: this.#connection.signal });
    this.#thinksAgain = true;
    return response;
  }

  #ask() {
    this.#head = this.#askOnce(this.#asked.replaces, this.key)
      .catch((error) => {
        if (error.code !== 'conversation_changed' || !this.#asked.mayBeGone) throw error;
        return this.#askOnce(this.#asked.instead ?? null, `${this.key}/instead`); // another request than the one with this key
      })
      .then((response) => {
        const model = response.headers.get('X-Model') ?? '';
        this.id = response.headers.get('X-Turn-Id') ?? '';
        this.cameBack = model === '' && this.#asked.isRepeated === true; // the turn that was asked before
        this.#tell.onBegin({ turn: this.id, model });
        return response;
      });
    return unlessAborted(this.#head, this.signal);
  }

  #askOnce(replaces, key) {
    const { conversation, question: text, isContinued, options } = this.#asked;
    const { signal } = this.#connection;
    const more = { ...(isContinued && { isContinued }), ...(options && { options }), ...(this.follows !== null && { follows: this.follows }) };
    return this.#api.ask({ conversation, text, replaces, key, signal, onSend: this.#tell.onSend, ...more });
  }

  /** What is left of the turn, from another connection. `lost` says why the last one ended. */
  async #comeBack(lost = null) {
    this.cameBack = true;
    let failure = lost;
    await seen(this.signal);
    this.#isResting = false;
    while (this.#tries < COME_BACK_MS.length) {
      if (failure) this.#tell.onLost();
      const waitS = failure?.retryAfterS ?? 0;
      if (waitS > LONGEST_WAIT_S) throw failure;
      await pause(Math.max(COME_BACK_MS[this.#tries], waitS * 1000), this.signal);
      this.#tries += 1;
      try {
        this.#connection = new AbortController();
        const items = await join(this.#sharing());
        this.#tell.onBack();
        return items;
      } catch (error) {
        if (this.isOver || !isLost(error)) throw error;
        failure = error;
      }
    }
    throw lost ?? failure;
  }
}
