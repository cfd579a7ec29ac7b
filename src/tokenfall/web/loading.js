/**
 * The messages of the conversation that is shown, asked of the server once a visit.
 *
 * It must never show, or call failed, what was asked for in a visit that is over.
 */

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

  again() {
    this.visit.messages = null;
    return this.load();
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
