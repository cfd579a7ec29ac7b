/**
 * The events of a response, and the tokens of an answer in them.
 *
 * It must never end normally before `[DONE]` was read, and never keep a connection that nobody reads.
 */

import { Failure } from './failures.js';
import { SSEDecoder } from './sse.js';

const DONE = '[DONE]';

/** A connection without a byte for so long is dead: the server says every 15 s that it waits for a first token. */
const SILENCE_MS = 45_000;
const CHECK_MS = 5000;

/** The events of a body. Leaving the loop early lets go of the connection. */
export async function* eventsOf(response) {
  if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
    response.body?.cancel().catch(() => {});
    throw new Failure('unexpected');
  }
  const reader = response.body.getReader();
  const decoder = new SSEDecoder();
  let heardMs = performance.now();
  const watchdog = setInterval(() => {
    if (performance.now() - heardMs > SILENCE_MS) reader.cancel().catch(() => {}); // as if it had been cut
  }, CHECK_MS);
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heardMs = performance.now();
      yield* decoder.push(value);
    }
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof Failure) throw error;
    throw Failure.ofNetwork(true);
  } finally {
    clearInterval(watchdog);
    reader.cancel().catch(() => {});
  }
}

/**
 * What an answer's events say, up to `[DONE]`: tokens as { text, id }, where `id` is what a resumption names,
 * { thought }, a piece of what the model thinks, and { end }, the server's account of how the turn ended.
 */
export async function* tokensOf(response, signal) {
  const requestId = response.headers.get('X-Request-Id') ?? '';
  for await (const event of eventsOf(response)) {
    signal.throwIfAborted(); // events of one read that the reader no longer wants
    if (event.data === DONE) return;
    const body = parse(event.data);
    if (event.type === 'error') throw Failure.ofEvent(body?.error, requestId);
    if (body === null || typeof body !== 'object') throw new Failure('unreadable', { requestId });
    if (event.type === 'reasoning') yield { thought: textOf(body.content) };
    else if (event.type === 'end') yield { end: body };
    else if (typeof body.content === 'string') yield { text: body.content, id: event.id };
  }
  throw new Failure('cut', { requestId });
}

function textOf(value) {
  return typeof value === 'string' ? value : '';
}

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
