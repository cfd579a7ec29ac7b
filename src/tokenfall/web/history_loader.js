/**
 * Loads the messages of the conversation that is shown, once per visit. It must never show the result of an earlier visit.
 */

import { unlessAborted } from './abortable.js';
import { asFailure } from './failures.js';
import { storedResponse } from './response_end.js';

export class HistoryLoader {
  #api;
  #view;

  constructor({ api, view }) {
    this.#api = api;
    this.#view = view;
    /** The visit { id, messages, isShown, isNew }; `messages` is a promise, null before loading and after a failure. */
    this.visit = { id: '', messages: null, isShown: false, isNew: false };
  }

  /** Starts a visit. A new conversation has no messages, so nothing is loaded. */
  open(id, { isNew }) {
    this.#turn = null;
    this.visit = { id, messages: isNew ? Promise.resolve([]) : null, isShown: isNew, isNew };
    this.newest = isNew ? '' : null;
    if (isNew) this.#view.showHistory([]);
    else this.#view.clear();
  }

  get isRequested() {
    return this.visit.messages !== null;
  }

  /** Loads and shows the messages. Those that the server has lost stay on the page, marked. */
  load() {
    this.visit.messages ??= this.#fetch(this.visit);
    return this.visit.messages;
  }

  /** Loads and shows them again. `onFailure` gets a Failure, unless another conversation was opened meanwhile. */
  async reload(onFailure) {
    const { visit } = this;
    this.invalidate();
    try {
      await this.load();
    } catch (error) {
      if (visit === this.visit) onFailure(asFailure(error));
    }
  }

  invalidate() {
    this.visit.messages = null;
  }

  /** The newest turn on the server, '' for none; null if unknown. */
  newest = null;
  #turn = null;

  /** Returns the newest turn, and the one before the previous turn of this page. Then the newest turn is unknown, because
   * `turn` may or may not be stored. */
  invalidateNewest(turn) {
    const known = [this.newest, this.#turn?.follows ?? null];
    this.newest = null;
    this.#turn = turn;
    return known;
  }

  /** Shows new messages of the server; resolves to whether there were any. Sets the newest turn if it was unknown. */
  async refresh() {
    const { visit, newest } = this;
    const turn = this.#turn;
    if (!visit.isShown || (newest === null && turn === null)) return false;
    if (visit.isNew && newest === '') return false; // only this page knows its id
    const messages = await messagesOf(this.#api, visit.id);
    if (visit !== this.visit || newest !== this.newest || turn !== this.#turn) return false;
    const found = newestOf(messages);
    const known = newest === null ? [turn.id, turn.follows] : [newest];
    if (known.includes(found)) this.newest = found;
    else this.#show(messages, false);
    return !known.includes(found);
  }

  #show(messages, isUnknown) {
    this.newest = newestOf(messages);
    if (messages.length > 0 || this.#view.isEmpty) this.#view.showHistory(messages, { isUnknown });
    else this.#view.markLost();
  }

  /** The stored response of a resumed turn; null for other turns, or if there is none. */
  async storedEnd(turn) {
    if (!turn.isResumed || turn.isOver) return null;
    const messages = messagesOf(this.#api, this.visit.id);
    return storedResponse(await unlessAborted(messages, turn.signal).catch(() => []), turn.id);
  }

  async #fetch(visit) {
    try {
      const found = await this.#api.history(visit.id);
      const messages = found ?? [];
      if (visit === this.visit) this.#show(messages, found === null);
      visit.isShown = true;
      return messages;
    } catch (error) {
      visit.messages = null;
      throw error;
    }
  }
}

/** The messages of a conversation, empty if the server does not have it. */
export async function messagesOf(api, conversation) {
  return (await api.history(conversation)) ?? [];
}

function newestOf(messages) {
  return messages.at(-1)?.turn ?? '';
}
