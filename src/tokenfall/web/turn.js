/**
 * One turn while it is received: sent or resumed, followed over lost connections, stopped or left.
 *
 * It must never touch the DOM, send a question twice, deliver a token twice, or return before the end of the response.
 */

import { pause, unlessAborted, visible, whenHidden } from './abortable.js';
import { join, lead, nameOf } from './shared_stream.js';
import { tokensOf } from './stream.js';

/** The wait before each attempt to resume without new items; after the last one the turn is given up. */
const RESUME_WAITS_MS = [0, 250, 500, 1000, 2000, 3000, 4000, 4000, 4000, 4000];

/** How long a page that is hidden keeps its connection, which another tab may need. */
const HIDDEN_MS = 3000;

/** How often a hidden page looks whether the turn has ended, and for how long. */
const LOOK_MS = 15_000;
const LOOKED_MS = 1000;

/** A longer Retry-After is shown as an error instead of waited for. */
const LONGEST_WAIT_S = 60;

const UNCONFIRMED = new Set(['cut', 'unreachable', 'offline', 'unexpected']);
const TEMPORARY = new Set(['overloaded', 'rate_limited']);

/** Not an error of the server itself: it may have processed the request. */
export function isUnconfirmed({ code, status }) {
  return UNCONFIRMED.has(code) || (code === 'http' && [502, 503, 504].includes(status)); // by a proxy
}

/** The connection ended, not the turn: it can be resumed. */
export function isLost(error) {
  if (error.code === 'shutting_down') return error.resumable !== false;
  return isUnconfirmed(error) || TEMPORARY.has(error.code);
}

export class Turn {
  #api;
  #asked;
  #on;
  #stopper = new AbortController(); // the response is not needed any more
  #connection = new AbortController(); // of the current connection
  #isResting = false; // the page is hidden
  #received = []; // the items, for a tab that joins later
  follows = null; // the newest turn that the page knew when this was sent
  #before = null; // the newest one if the server does not have the turn that this one replaces
  #head = null; // a promise of the response's head
  #last = '0'; // the id of the newest event delivered
  #restartsReasoning = false; // the next piece of reasoning is the first again
  #attempts = 0; // to resume, since then

  /**
   * @param asked { conversation, question, replaces, mayBeGone, key } of a new turn, with `id` of one to resume; if
   *   `mayBeGone`, `instead` is replaced where the server does not have `replaces`; with the same `key` it is the same
   *   question; `isContinued`: the response of the turn `replaces` continues; `options` instead of the conversation's;
   *   `isRepeated`: it was sent before with this key
   * @param on onSend(), onBegin({ turn, model }), onToken(text), onThought(text, isAgain),
   *   onFinish(end), onLost(), onBack()
   */
  constructor(api, asked, on) {
    this.#api = api;
    this.#asked = asked;
    this.#on = on;
    this.id = asked.id ?? '';
    this.question = asked.question;
    this.key = asked.key;
    this.cameBack = this.id !== '';
    this.isStopped = false;
  }

  /** Aborted once the response is not needed any more. */
  get signal() {
    return this.#stopper.signal;
  }

  get isOver() {
    return this.signal.aborted;
  }

  /**
   * Receives the turn to its end; `follows` is the newest turn that the page knows, null if unknown, and `before` the
   * newest one if the server does not have the turn to replace. Throws a Failure, or an AbortError after `stop` or `leave`.
   */
  async run(follows = null, before = null) {
    this.follows = follows;
    this.#before = before;
    let items = this.id ? await this.#resume() : await this.#begin();
    for (;;) {
      try {
        await this.#receive(items);
        return;
      } catch (error) {
        if (this.isOver || !this.id || !(this.#isResting || isLost(error))) throw error;
        items = await this.#resume(this.#isResting ? null : error);
      }
    }
  }

  /** A hidden page closes its connection: the server continues, and another tab may need a connection. */
  async #receive(items) {
    const stopWatching = whenHidden(document.hidden ? LOOKED_MS : HIDDEN_MS, () => {
      this.#isResting = this.id !== '';
      if (this.#isResting) this.#connection.abort();
    });
    try {
      for await (const item of items) {
        this.signal.throwIfAborted();
        if (!item.id || !(Number(item.id) <= Number(this.#last))) this.#deliver(item);
      }
    } finally {
      stopWatching();
    }
  }

  #deliver(item) {
    const { text, id, thought, end } = item;
    if (thought && this.#restartsReasoning) this.#received = this.#received.filter((each) => !each.thought);
    this.#received.push(item);
    if (id) this.#last = id;
    this.#attempts = 0;
    if (thought) this.#deliverThought(thought);
    if (end) this.#on.onFinish?.(end);
    if (text) this.#on.onToken(text);
  }

  /** Reasoning has no event ids: after a resumption it starts from the beginning. */
  #deliverThought(text) {
    this.#on.onThought?.(text, this.#restartsReasoning);
    this.#restartsReasoning = false;
  }

  /** Nothing is delivered from now on. Resolves when the server has ended the turn. */
  async stop() {
    this.isStopped = true;
    await this.leave();
    if (this.id) await this.#api.stop(this.id);
  }

  /** As `stop`, but the server continues the turn. */
  async leave() {
    this.#stopper.abort();
    if (!this.id) await this.#head?.catch(() => null); // it has the turn's id
    this.#connection.abort();
  }

  async #begin() {
    const items = tokensOf(await this.#ask(), this.signal);
    return this.id ? lead(this.#sharing(), items) : items;
  }

  /** How this turn is followed by the tabs that show it; see shared_stream.js. */
  #sharing() {
    return {
      name: () => nameOf(this.id, this.#api.key ?? ''),
      read: async () => tokensOf(await this.#follow(), this.signal),
      since: (after) => this.#received.slice(this.#received.findLastIndex(({ id }) => id === after) + 1),
      after: () => {
        this.#restartsReasoning = true;
        return this.#last;
      },
      signal: this.#connection.signal,
    };
  }

  async #follow() {
    const response = await this.#api.follow({ turn: this.id, after: this.#last, signal: this.#connection.signal });
    this.#restartsReasoning = true;
    return response;
  }

  #ask() {
    this.#head = this.#askOnce(this.#asked.replaces, this.key)
      .catch((error) => {
        if (error.code !== 'conversation_changed' || !this.#asked.mayBeGone) throw error;
        this.follows = this.#before;
        return this.#askOnce(this.#asked.instead ?? null, `${this.key}/instead`); // another request, so another key
      })
      .then((response) => {
        const model = response.headers.get('X-Model') ?? '';
        this.id = response.headers.get('X-Turn-Id') ?? '';
        this.cameBack = model === '' && this.#asked.isRepeated === true; // the turn of the first request
        this.#on.onBegin({ turn: this.id, model });
        return response;
      });
    return unlessAborted(this.#head, this.signal);
  }

  #askOnce(replaces, key) {
    const { conversation, question: text, isContinued, options } = this.#asked;
    const { signal } = this.#connection;
    const more = { ...(isContinued && { isContinued }), ...(options && { options }), ...(this.follows !== null && { follows: this.follows }) };
    return this.#api.ask({ conversation, text, replaces, key, signal, onSend: this.#on.onSend, ...more });
  }

  /** The rest of the turn, from another connection. `lost` is the failure that ended the last one. */
  async #resume(lost = null) {
    this.cameBack = true;
    let failure = lost;
    while (this.#attempts < RESUME_WAITS_MS.length) {
      await visible(this.signal, LOOK_MS);
      this.#isResting = false;
      if (failure) this.#on.onLost();
      const waitS = failure?.retryAfterS ?? 0;
      if (waitS > LONGEST_WAIT_S) throw failure;
      await pause(Math.max(RESUME_WAITS_MS[this.#attempts], waitS * 1000), this.signal);
      if (!document.hidden) this.#attempts += 1; // a hidden page tries again as long as it is hidden
      try {
        this.#connection = new AbortController();
        const items = await join(this.#sharing());
        this.#on.onBack();
        return items;
      } catch (error) {
        if (this.isOver || !isLost(error)) throw error;
        failure = error;
      }
    }
    throw lost ?? failure;
  }
}
