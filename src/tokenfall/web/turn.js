/**
 * The stream of one turn: sends or resumes it, reconnects after connection loss, stops or leaves it.
 *
 * It must never touch the DOM, send a question twice, deliver a token twice, or return before the end of the response.
 */

import { delay, unlessAborted, whenHidden, whenVisible } from './abortable.js';
import { join, lead, nameOf } from './shared_stream.js';
import { tokensOf } from './stream.js';

/** The delays before consecutive attempts to resume without a new item. The turn fails after the last one. */
const RESUME_WAITS_MS = [0, 250, 500, 1000, 2000, 3000, 4000, 4000, 4000, 4000];

/** A page that was hidden for this long closes its connection, which another tab may need. */
const HIDDEN_MS = 3000;

/** How often a hidden page connects to see whether the turn has ended, and for how long. */
const POLL_MS = 15_000;
const POLL_OPEN_MS = 1000;

/** A longer Retry-After is an error. */
const MAX_RETRY_AFTER_S = 60;

const UNCONFIRMED = new Set(['cut', 'unreachable', 'offline', 'unexpected']);
const TEMPORARY = new Set(['overloaded', 'rate_limited']);

/** Whether the server may have processed the request: the error is not its own. */
export function isUnconfirmed({ code, status }) {
  return UNCONFIRMED.has(code) || (code === 'http' && [502, 503, 504].includes(status)); // from a proxy
}

/** Whether the turn can be resumed: the connection ended, not the turn. */
export function isResumable(error) {
  if (error.code === 'shutting_down') return error.resumable !== false;
  return isUnconfirmed(error) || TEMPORARY.has(error.code);
}

export class Turn {
  #api;
  #request;
  #on;
  #stopper = new AbortController(); // aborted when the response is not needed any more
  #connection = new AbortController(); // closes the current connection
  #isPaused = false; // the page is hidden
  #received = []; // the items, for tabs that join later
  follows = null; // the newest turn known when this one was sent
  #before = null; // the same if the server does not have the replaced turn
  #response = null; // promise, resolved at the headers of the response
  #last = '0'; // id of the last delivered event
  #restartsReasoning = false; // reasoning is sent from its start again
  #attempts = 0; // to resume since that event

  /**
   * @param request { conversation, question, replaces, key, id }: `id` of a turn to resume; `key`, the idempotency key;
   *   `isRepeated`: it was sent before with this key; `fallback`: the turn to replace if the server does not have
   *   `replaces`, null for none; `isContinued`: continues the response of `replaces`; `options` override the
   *   conversation's
   * @param on onSend(), onBegin({ turn, model, isStopped }), onToken(text), onReasoning(text, isRestart), onFinish(end),
   *   onDisconnect(), onReconnect()
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
   * Resolves at the end of the turn. `follows` is the newest known turn, null if unknown; `before` is the same if the
   * server does not have the turn to replace. Throws a Failure, or an AbortError after `stop` or `leave`.
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

  /** Delivers items. Closes the connection when the page is hidden; the server continues the turn. */
  async #receive(items) {
    const stopWatching = whenHidden(document.hidden ? POLL_OPEN_MS : HIDDEN_MS, () => {
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

  /** Reasoning has no event ids, so the server sends it from its start after each resumption. */
  #deliverReasoning(text) {
    this.#on.onReasoning?.(text, this.#restartsReasoning);
    this.#restartsReasoning = false;
  }

  /** Ends the delivery at once. Resolves when the server has ended the turn. */
  async stop() {
    this.isStopped = true;
    await this.leave();
    if (this.id) await this.#api.stop(this.id);
  }

  /** Like `stop`, but the server continues the turn. */
  async leave() {
    this.#stopper.abort();
    if (!this.id) await this.#response?.catch(() => null); // its headers have the id of the turn
    this.#connection.abort();
  }

  async #start() {
    const items = tokensOf(await this.#send(), this.signal);
    return this.id ? lead(this.#sharing(), items) : items;
  }

  /** The callbacks that share this turn's stream with other tabs; see shared_stream.js. */
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
        if (error.code !== 'conversation_changed' || this.#request.fallback === undefined) throw error;
        this.follows = this.#before;
        return this.#post(this.#request.fallback, `${this.key}/fallback`); // a different request needs a different key
      })
      .then((response) => {
        const model = response.headers.get('X-Model') ?? '';
        this.id = response.headers.get('X-Turn-Id') ?? '';
        this.isResumed = model === '' && this.#request.isRepeated === true; // the response is that of the first request
        this.#on.onBegin({ turn: this.id, model, isStopped: this.isStopped });
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

  /** The rest of the turn from a new connection. `disconnected` is the failure that ended the previous one. */
  async #resume(disconnected = null) {
    this.isResumed = true;
    let failure = disconnected;
    while (this.#attempts < RESUME_WAITS_MS.length) {
      await whenVisible(this.signal, POLL_MS);
      this.#isPaused = false;
      if (failure) this.#on.onDisconnect();
      const waitS = failure?.retryAfterS ?? 0;
      if (waitS > MAX_RETRY_AFTER_S) throw failure;
      await delay(Math.max(RESUME_WAITS_MS[this.#attempts], waitS * 1000), this.signal);
      if (!document.hidden) this.#attempts += 1; // a hidden page retries without limit
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
