/**
 * The messages of the conversation that is shown, asked of the server once a visit.
 *
 * It must never show, or call failed, what was asked for in a visit that is over.
 */

import { answerKept } from './endings.js';
import { asFailure } from './failures.js';
import { unlessAborted } from './waiting.js';

export class Loading {
  #api;
  #view;

  constructor({ api, view }) {
    this.#api = api;
    this.#view = view;
    /** What a load belongs to: { id, messages, isShown, isNew }: a promise of them, or null before it and after it failed. */
    this.visit = { id: '', messages: null, isShown: false, isNew: false };
  }

  /** A new conversation has no messages. */
  begin(id, { isNew }) {
    this.visit = { id, messages: isNew ? Promise.resolve([]) : null, isShown: isNew, isNew };
    this.newest = isNew ? '' : null;
    if (isNew) this.#view.showHistory([]);
    else this.#view.clear();
  }

  get isBegun() {
    return this.visit.messages !== null;
  }

  /** The messages, which are shown by then; what the server does not have any more stays, and is marked. */
  load() {
    this.visit.messages ??= this.#loaded(this.visit);
    return this.visit.messages;
  }

  /** Shows what has changed. `tell` is given the Failure, unless another conversation is shown by then. */
  async again(tell) {
    const { visit } = this;
    this.forget();
    try {
      await this.load();
    } catch (error) {
      if (visit === this.visit) tell(asFailure(error));
    }
  }

  forget() {
    this.visit.messages = null;
  }

  /** The newest turn that the server is known to have, '' for none; null where the page cannot be sure. */
  newest = null;

  /** Shows what the server has come to have since the page looked last. */
  async look() {
    const { visit, newest } = this;
    if (!visit.isShown || newest === null) return false;
    if (visit.isNew && newest === '') return false; // nobody else knows its name
    const messages = (await this.#api.history(visit.id)) ?? [];
    if (visit !== this.visit || newest !== this.newest || newestOf(messages) === newest) return false;
    this.#show(messages, false);
    return true;
  }

  #show(messages, isUnknown) {
    this.newest = newestOf(messages);
    if (messages.length > 0 || this.#view.isEmpty) this.#view.showHistory(messages, { isUnknown });
    else this.#view.markForgotten();
  }

  /** The answer of a turn that was come back to, as the history has it: what ended while nobody listened. */
  async kept(turn) {
    if (!turn.cameBack || turn.isOver) return null;
    const messages = this.#api.history(this.visit.id).then((found) => found ?? []);
    return answerKept(await unlessAborted(messages, turn.signal).catch(() => []), turn.id);
  }

  async #loaded(visit) {
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

function newestOf(messages) {
  return messages.at(-1)?.turn ?? '';
}
