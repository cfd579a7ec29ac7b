/**
 * The server's routes: one function a route, the key on each request, every error a Failure.
 *
 * All addresses are relative to the page. It must never touch the DOM, nor log or store a message.
 */

import { Failure } from './failures.js';
import { fieldsOf, keyWith, optionsOf } from './options.js';
import { request } from './request.js';

const STREAM = { announce: true, details: true, on_disconnect: 'finish' };
const JSON_BODY = { 'Content-Type': 'application/json' };

export class Api {
  #keys;
  #takesQuestionKeys = true; // until the server says otherwise

  /** @param keys has `current` and `renew(refused)`, which asks the reader; see dialogs.js */
  constructor(keys) {
    this.#keys = keys;
  }

  /** The key that is sent now; tabs with another have no part in what is heard here. */
  get key() {
    return this.#keys.current;
  }

  /**
   * The 1,000 most recently active conversations, the latest first: [{ id, title, last_activity, messages, pinned }]. The page
   * asks for them by itself, so its reader is not asked for a key unless `asksForKey`.
   */
  async conversations({ asksForKey = false } = {}) {
    return arrayOf(await this.#request('conversations?limit=1000', { asksForKey }));
  }

  /** Those of them in whose title or messages all words of `text` occur. */
  async search(text) {
    return arrayOf(await this.#request(`conversations?limit=1000&search=${encodeURIComponent(text)}`));
  }

  /** A conversation's messages, oldest first, with the earlier responses of those that were regenerated; null for one that the server does not have. */
  async history(conversation) {
    try {
      return arrayOf(await this.#request(`history?variants=true&conversation=${encodeURIComponent(conversation)}`));
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  rename(conversation, title) {
    return this.#change(conversation, { title });
  }

  pin(conversation, pinned) {
    return this.#change(conversation, { pinned });
  }

  async #change(conversation, change) {
    await this.#request(pathOf(conversation), { method: 'PATCH', headers: JSON_BODY, body: JSON.stringify(change) });
  }

  /** Makes a conversation of an exported one, whose text importing.js has checked; resolves to its id. */
  async import(body) {
    const init = { method: 'POST', headers: JSON_BODY, body };
    const response = await this.#request('conversations', init).catch((error) => {
      throw error.status === 413 ? new Failure('file_too_large', error) : error;
    });
    const { id } = (await response.json().catch(() => null)) ?? {};
    if (typeof id !== 'string') throw new Failure('unexpected');
    return id;
  }

  /** Also of one that has not begun, or is gone. */
  async delete(conversation) {
    await this.#request(pathOf(conversation), { method: 'DELETE' }).catch((error) => {
      if (error.status !== 404) throw error;
    });
  }

  /**
   * Asks; the response comes with the turn's id in `X-Turn-Id`, before the first token. The turn is answered to its end
   * also when this page is left. A question that comes again with its `key` is the same turn from its beginning, where
   * the server can tell. `replaces` is the turn in whose place it is asked, or whose answer goes on if `isContinued`;
   * `follows` is the newest turn that the page knows, '' for none: if the server has another, it answers 409.
   * `onSend` is called as each attempt leaves. `options` are those of the conversation unless given; see options.js.
   */
  async ask(asked) {
    const { conversation, text, replaces, isContinued, follows, signal, onSend } = asked;
    const options = asked.options ?? optionsOf(conversation);
    const key = keyWith(asked.key, options);
    const body = { ...fieldsOf(text, options), conversation, ...STREAM };
    if (replaces) body[isContinued ? 'continues' : 'replaces'] = replaces;
    if (typeof follows === 'string') body.after = follows;
    const headers = this.#takesQuestionKeys ? { ...JSON_BODY, 'Idempotency-Key': key } : JSON_BODY;
    try {
      return await this.#request('chat', { method: 'POST', headers, body: JSON.stringify(body), signal, onSend });
    } catch (error) {
      if (error.code !== 'idempotency_unavailable' || !this.#takesQuestionKeys) throw error;
      this.#takesQuestionKeys = false;
      return this.ask(asked);
    }
  }

  /** What applies to a question without options: { model, simulated, upstream, max_tokens }. */
  async defaults() {
    const response = await this.#request('chat/defaults', { asksForKey: false });
    const found = await response.json().catch(() => null);
    if (typeof found?.model !== 'string') throw new Failure('unexpected');
    return found;
  }

  /** The names of all models. */
  async models() {
    const response = await this.#request('v1/models', { asksForKey: false });
    const found = await response.json().catch(() => null);
    if (!Array.isArray(found?.data)) throw new Failure('unexpected');
    return found.data.map(({ id }) => id);
  }

  /** The rest of a turn after the event `after`, and what still comes; the response comes before any of it. */
  follow({ turn, after, signal }) {
    return this.#request(`chat/turns/${turn}?announce=true&details=true`, { headers: { 'Last-Event-ID': after }, signal });
  }

  /** Returns once the turn has ended and is kept; also when it had ended, or was never known. */
  async stop(turn) {
    await this.#request(`chat/turns/${turn}/stop`, { method: 'POST', keepalive: true }).catch((error) => {
      if (error.status !== 404) throw error;
    });
  }

  #request(path, init) {
    return request(this.#keys, path, init);
  }
}

function pathOf(conversation) {
  return `conversations/${encodeURIComponent(conversation)}`;
}

async function arrayOf(response) {
  const found = await response.json().catch(() => null);
  if (!Array.isArray(found)) throw new Failure('unexpected');
  return found;
}
