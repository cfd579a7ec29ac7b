/**
 * One request with the user's API key. Every error is a Failure.
 *
 * It must never touch the DOM, use the browser's cache, or ask for a key unless the current one was refused.
 */

import { Failure } from './failures.js';

/**
 * Fetches `path`, relative to the page. While the server responds 401 and the user enters another key, the request is
 * repeated, unless `asksForKey` is false. `onSend` is called before each attempt. Throws a Failure, or the reason of
 * `init.signal`.
 *
 * @param keys has `current` and `renew(refused)`; see dialogs.js
 */
export async function request(keys, path, { onSend, asksForKey = true, headers = {}, ...init } = {}) {
  for (;;) {
    const key = keys.current;
    const sent = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
    onSend?.();
    const response = await attempt(path, { ...init, headers: sent, cache: 'no-store' });
    if (response.ok) return response;
    const failure = await Failure.ofResponse(response);
    if (response.status !== 401 || !asksForKey || !(await keys.renew(key))) throw failure;
    init.signal?.throwIfAborted();
  }
}

/** The JSON body of `response`; throws a Failure if it is no object or array, or not `isValid`. */
export async function jsonOf(response, isValid) {
  const body = await response.json().catch(() => null);
  if (typeof body !== 'object' || body === null || !isValid(body)) throw new Failure('unexpected');
  return body;
}

/** The options of `request` that send `value` as JSON. */
export function withJSON(method, value) {
  return { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(value) };
}

async function attempt(path, init) {
  try {
    return await fetch(path, init);
  } catch {
    init.signal?.throwIfAborted();
    throw Failure.ofNetwork(false);
  }
}
