/**
 * The server's routes: one function a route, the key on each request, every error a Failure.
 *
 * All addresses are relative to the page. It must never touch the DOM, log or store a message,
 * or end an answer normally before `[DONE]` was read.
 */

import { Failure } from './failures.js';
import { SSEDecoder } from './sse.js';

const DONE = '[DONE]';

export class Api {
  #keys;

  /** @param keys has `current` and `renew(refused)`, which asks the reader; see key.js */
  constructor(keys) {
    this.#keys = keys;
  }

  /** The conversation, oldest first: [{ role, content, status? }]. */
  async history() {
    const response = await this.#request('history', {});
    const messages = await response.json().catch(() => null);
    if (!Array.isArray(messages)) throw new Failure('unexpected');
    return messages;
  }

  async clearHistory(signal) {
    await this.#request('history', { method: 'DELETE', signal });
  }

  /**
   * Sends one user message and yields its answer token by token; returns only after `[DONE]`.
   * `signal` ends it at once, also before the first byte; `onSend` is called as each attempt leaves.
   */
  async *answer(text, { signal, onSend }) {
    const response = await this.#request('chat', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: text }] }),
      signal,
      onSend,
    });
    if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
      throw new Failure('unexpected');
    }
    const requestId = response.headers.get('X-Request-Id') ?? '';
    for await (const event of eventsOf(response)) {
      signal.throwIfAborted(); // events of one read that the reader no longer wants
      if (event.data === DONE) return;
      const body = parse(event.data);
      if (event.type === 'error') throw Failure.ofEvent(body?.error, requestId);
      if (body === null || typeof body !== 'object') throw new Failure('unreadable', { requestId });
      if (typeof body.content === 'string' && body.content !== '') yield body.content;
    }
    throw new Failure('cut', { requestId });
  }

  /** Repeats the request as long as the server answers 401 and the reader gives another key. */
  async #request(path, { onSend, headers = {}, ...init }) {
    for (;;) {
      const key = this.#keys.current;
      const sent = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
      onSend?.();
      const response = await attempt(path, { ...init, headers: sent, cache: 'no-store' });
      if (response.ok) return response;
      const failure = await Failure.ofResponse(response);
      if (response.status !== 401 || !(await this.#keys.renew(key))) throw failure;
      init.signal?.throwIfAborted();
    }
  }
}

async function attempt(path, init) {
  try {
    return await fetch(path, init);
  } catch {
    init.signal?.throwIfAborted();
    throw Failure.ofNetwork(false);
  }
}

/** The events of a body. Leaving the loop early lets go of the connection. */
async function* eventsOf(response) {
  const reader = response.body.getReader();
  const decoder = new SSEDecoder();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield* decoder.push(value);
    }
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw Failure.ofNetwork(true);
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
