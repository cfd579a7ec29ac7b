/**
 * The events and tokens of a streamed response.
 *
 * It must never end normally before `[DONE]` was read, or leave a connection open that is not read.
 */

import { Failure, asText } from './failures.js';
import { parseJSON } from './json.js';
import { SSEDecoder } from './sse.js';

const DONE = '[DONE]';

/** A connection without data for this long is treated as lost: the server sends a keepalive every 15 s. */
const SILENCE_MS = 45_000;
const CHECK_MS = 5000;

/** The events of a response body. Ending the iteration early closes the connection. */
export async function* eventsOf(response) {
  if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
    response.body?.cancel().catch(() => {});
    throw new Failure('unexpected');
  }
  const reader = response.body.getReader();
  const decoder = new SSEDecoder();
  let receivedMs = performance.now();
  const watchdog = setInterval(() => {
    if (performance.now() - receivedMs > SILENCE_MS) reader.cancel().catch(() => {}); // ends the reading like a lost connection
  }, CHECK_MS);
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      receivedMs = performance.now();
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
 * The items of a response up to `[DONE]`: tokens { text, id }, where `id` is the event id to resume after; pieces of
 * reasoning { reasoning }; and { end }, how the turn ended.
 */
export async function* tokensOf(response, signal) {
  const requestId = response.headers.get('X-Request-Id') ?? '';
  for await (const event of eventsOf(response)) {
    signal.throwIfAborted(); // an abort discards the rest of a read
    if (event.data === DONE) return;
    const body = parseJSON(event.data);
    if (event.type === 'error') throw Failure.ofEvent(body?.error, requestId);
    if (body === null || typeof body !== 'object') throw new Failure('unreadable', { requestId });
    if (event.type === 'reasoning') yield { reasoning: asText(body.content) };
    else if (event.type === 'end') yield { end: body };
    else if (typeof body.content === 'string') yield { text: body.content, id: event.id };
  }
  throw new Failure('cut', { requestId });
}
