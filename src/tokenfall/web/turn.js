/**
 * One turn while it is received: sent or resumed, followed over lost connections, stopped or left.
 *
 * It must never touch the DOM, send a question twice, deliver a token twice, or return before the end of the response.
 */

import { delay, unlessAborted, whenHidden, whenVisible } from './abortable.js';
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
export function isResumable(error) {
  if (error.code === 'shutting_down') return error.resumable !== false;
  return isUnconfirmed(error) || TEMPORARY.has(error.code);
}

export class Turn {
  #api;
  #request;
  #on;
  #stopper = new AbortController(); // the response is not needed any more
  #connection = new AbortController(); // of the current connection
  #isPaused = false; // the page is hidden
  #received = []; // the items, for a tab that joins later
  follows = null; // the newest turn that the page knew when this was sent
  #before = null; // the newest one if the server does not have the turn that this one replaces
  #response = null; // a promise of the response's head
  #last = '0'; // the id of the newest event delivered
  #restartsReasoning = false; // the next piece of reasoning is the first again
  #attempts = 0; // to resume, since then

  /**
   * @param asked { conversation, question, replaces, hasFallback, key } of a new turn, with `id` of one to resume; if
   *   `hasFallback`, `instead` is replaced where the server does not have `replaces`; with the same `key` it is the same
   *   question; `isContinued`: the response of the turn `replaces` continues; `options` instead of the conversation's;
   *   `isRepeated`: it was sent before with this key
   * @param on onSend(), onBegin({ turn, model }), onToken(text), onReasoning(text, isRestart),
   *   onFinish(end), onDisconnect(), onReconnect()
   */
  constructor(api, request, on) {
    this.#api = api;
    this.#request = request;
    this.#on = on;
    this.id = request.id ?? '';
    this.question = request.question;
    this.key = request.key;
    this.isResumed = this.id !== '';
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
    let items = this.id ? await this.#resume() : await this.#start();
    for (;;) {
      try {
        await this.#receive(items);
        return;
      } catch (error) {
        if (this.isOver || !this.id || !(this.#isPaused || isResumable(error))) throw error;
        items = await this.#resume(this.#isPaused ? null : error);
      }
    }
  }

  /** A hidden page closes its connection: the server continues, and another tab may need a connection. */
  async #receive(items) {
    const stopWatching = whenHidden(document.hidden ? LOOKED_MS : HIDDEN_MS, () => {
      this.#isPaused = this.id !== '';
      if (this.#isPaused) this.#connection.abort();
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
    const { text, id, reasoning, end } = item;
    if (reasoning && this.#restartsReasoning) this.#received = this.#received.filter((each) => !each.reasoning);
    this.#received.push(item);
    if (id) this.#last = id;
    this.#attempts = 0;
    if (reasoning) this.#deliverReasoning(reasoning);
    if (end) this.#on.onFinish?.(end);
    if (text) this.#on.onToken(text);
  }

  /** Reasoning has no event ids: after a resumption it starts from the beginning. */
  #deliverReasoning(text) {
    this.#on.onReasoning?.(text, this.#restartsReasoning);
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
    if (!this.id) await this.#response?.catch(() => null); // it has the turn's id
    this.#connection.abort();
  }

  async #start() {
    const items = tokensOf(await this.#send(), this.signal);
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

  #send() {
    this.#response = this.#post(this.#request.replaces, this.key)
      .catch((error) => {
        if (error.code !== 'conversation_changed' || !this.#request.hasFallback) throw error;
        this.follows = this.#before;
        return this.#post(this.#request.fallback ?? null, `${this.key}/fallback`); // another request, so another key
      })
      .then((response) => {
        const model = response.headers.get('X-Model') ?? '';
        this.id = response.headers.get('X-Turn-Id') ?? '';
        this.isResumed = model === '' && this.#request.isRepeated === true; // the turn of the first request
        this.#on.onBegin({ turn: this.id, model });
        return response;
      });
    return unlessAborted(this.#response, this.signal);
  }

  #post(replaces, key) {
    const { conversation, question: text, isContinued, options } = this.#request;
    const { signal } = this.#connection;
    const more = { ...(isContinued && { isContinued }), ...(options && { options }), ...(this.follows !== null && { follows: this.follows }) };
    return this.#api.ask({ conversation, text, replaces, key, signal, onSend: this.#on.onSend, ...more });
  }

  /** The rest of the turn, from another connection. `lost` is the failure that ended the last one. */
  async #resume(disconnected = null) {
    this.isResumed = true;
    let failure = disconnected;
    while (this.#attempts < RESUME_WAITS_MS.length) {
      await whenVisible(this.signal, LOOK_MS);
      this.#isPaused = false;
      if (failure) this.#on.onDisconnect();
      const waitS = failure?.retryAfterS ?? 0;
      if (waitS > LONGEST_WAIT_S) throw failure;
      await delay(Math.max(RESUME_WAITS_MS[this.#attempts], waitS * 1000), this.signal);
      if (!document.hidden) this.#attempts += 1; // a hidden page tries again as long as it is hidden
      try {
        this.#connection = new AbortController();
        const items = await join(this.#sharing());
        this.#on.onReconnect();
        return items;
      } catch (error) {
        if (this.isOver || !isResumable(error)) throw error;
        failure = error;
      }
    }
    throw disconnected ?? failure;
  }
}
