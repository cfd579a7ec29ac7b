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
    /** What a load belongs to: { id, messages, isShown }, a promise of them, or null before it and after it failed. */
    this.visit = { id: '', messages: null, isShown: false };
  }

  /** A new conversation has no messages. */
  begin(id, { isNew }) {
    this.visit = { id, messages: isNew ? Promise.resolve([]) : null, isShown: isNew };
    if (isNew) this.#view.showHistory([]);
    else this.#view.clear();
  }

  get isBegun() {
    return this.visit.messages !== null;
  }

  /** The messages, which are shown by then. */
  load() {
    this.visit.messages ??= this.#loaded(this.visit);
    return this.visit.messages;
  }

  again() {
    this.visit.messages = null;
    return this.load();
  }

  async #loaded(visit) {
    try {
      const messages = await this.#api.history(visit.id);
      if (visit === this.visit) this.#view.showHistory(messages);
      visit.isShown = true;
      return messages;
    } catch (error) {
      visit.messages = null;
      throw error;
    }
  }
}
