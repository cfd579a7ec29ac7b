/**
 * HTTP client of the server: one method per route. Every request has the API key, every error is a Failure.
 *
 * URLs are relative to the page. It must never touch the DOM, or log or store a message.
 */

import { Failure } from './failures.js';
import { fieldsOf, keyWith, optionsOf } from './options.js';
import { jsonOf, request, withJSON } from './request.js';

const STREAM = { announce: true, details: true, on_disconnect: 'finish' };
const IMPORT_FAILURES = { 400: 'file_invalid', 413: 'file_too_large', conversation_too_long: '' }; // by code or status; '' for the server's own

export class Api {
  #keys;
  #sendsIdempotencyKey = true; // until the server refuses it

  /** @param keys has `current` and `renew(refused)`, which asks the user; see dialogs.js */
  constructor(keys) {
    this.#keys = keys;
  }

  /** The current key. Only tabs with the same key share streams. */
  get key() {
    return this.#keys.current;
  }

  /**
   * The 1,000 most recently active conversations, latest first: [{ id, title, last_activity, messages, pinned }]. A
   * background request, so the user is asked for a key only if `asksForKey`.
   */
  async conversations({ asksForKey = false } = {}) {
    return jsonOf(await this.#request('conversations?limit=1000', { asksForKey }), Array.isArray);
  }

  /** The conversations whose title or messages contain all words of `text`. */
  async search(text) {
    return jsonOf(await this.#request(`conversations?limit=1000&search=${encodeURIComponent(text)}`), Array.isArray);
  }

  /** A conversation's messages with earlier responses, oldest first; null if the server does not have it. */
  async history(conversation) {
    const response = await unlessMissing(this.#request(`history?variants=true&conversation=${encodeURIComponent(conversation)}`));
    return response && jsonOf(response, Array.isArray);
  }

  rename(conversation, title) {
    return this.#change(conversation, { title });
  }

  pin(conversation, pinned) {
    return this.#change(conversation, { pinned });
  }

  async #change(conversation, change) {
    await this.#request(pathOf(conversation), withJSON('PATCH', change));
  }

  /** Creates a conversation from an exported one (see file_import.js); resolves to its id. */
  async import(exported) {
    const response = await this.#request('conversations', withJSON('POST', exported)).catch((error) => {
      const code = IMPORT_FAILURES[error.code] ?? IMPORT_FAILURES[error.status];
      throw code ? new Failure(code) : error;
    });
    return (await jsonOf(response, ({ id }) => typeof id === 'string')).id;
  }

  /** Also succeeds if there is no such conversation. */
  async delete(conversation) {
    await unlessMissing(this.#request(pathOf(conversation), { method: 'DELETE' }));
  }

  /**
   * Sends a question. The response's header `X-Turn-Id` has the turn's id. The turn continues if the client disconnects.
   * `key` is the idempotency key: a second request streams the same turn from its start, if the server supports keys.
   * `replaces` is the turn to replace, or to continue if `isContinued`; `follows` is the newest known turn, '' for none:
   * if the server has another, it responds 409. `onSend` is called before each attempt. `options` default to those of
   * the conversation; see options.js.
   */
  async ask(question) {
    const { conversation, text, replaces, isContinued, follows, signal, onSend } = question;
    const options = question.options ?? optionsOf(conversation);
    const key = keyWith(question.key, options);
    const body = { ...fieldsOf(text, options), conversation, ...STREAM };
    if (replaces) body[isContinued ? 'continues' : 'replaces'] = replaces;
    if (typeof follows === 'string') body.after = follows;
    const init = withJSON('POST', body);
    if (this.#sendsIdempotencyKey) init.headers['Idempotency-Key'] = key;
    try {
      return await this.#request('chat', { ...init, signal, onSend });
    } catch (error) {
      if (error.code !== 'idempotency_unavailable' || !this.#sendsIdempotencyKey) throw error;
      this.#sendsIdempotencyKey = false;
      return this.ask(question);
    }
  }

  /** The server's default options: { model, simulated, upstream, max_tokens, context_messages, context_tokens }. */
  async defaults() {
    const response = await this.#request('chat/defaults', { asksForKey: false });
    return jsonOf(response, ({ model }) => typeof model === 'string');
  }

  /** The messages that the model gets with the next question: { first, messages, max_messages, max_tokens, max_stored }. */
  async context(conversation) {
    const { system } = optionsOf(conversation);
    const body = { conversation, ...(system && { system }) };
    const response = await this.#request('chat/context', { ...withJSON('POST', body), asksForKey: false });
    return jsonOf(response, ({ first }) => typeof first === 'string');
  }

  /** The names of all models. */
  async models() {
    const response = await this.#request('v1/models', { asksForKey: false });
    const { data } = await jsonOf(response, (body) => Array.isArray(body.data));
    return data.map(({ id }) => id);
  }

  /** Streams the events of a turn after the event `after`. Resolves at the response's headers. */
  follow({ turn, after, signal }) {
    return this.#request(`chat/turns/${turn}?announce=true&details=true`, { headers: { 'Last-Event-ID': after }, signal });
  }

  /** Resolves when the turn has ended and is stored, or if it is unknown. */
  async stop(turn) {
    await unlessMissing(this.#request(`chat/turns/${turn}/stop`, { method: 'POST', keepalive: true }));
  }

  #request(path, init) {
    return request(this.#keys, path, init);
  }
}

function pathOf(conversation) {
  return `conversations/${encodeURIComponent(conversation)}`;
}

/** Resolves like `response`, but to null after a 404. */
function unlessMissing(response) {
  return response.catch((error) => {
    if (error.status !== 404) throw error;
    return null;
  });
}
