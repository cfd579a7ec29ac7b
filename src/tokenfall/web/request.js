/**
 * One request with the reader's key, and every way it can fail as a Failure.
 *
 * It must never touch the page, keep an answer in the browser's cache, or ask for a key that was not refused.
 */

import { Failure } from './failures.js';

/**
 * The answer to `path`, relative to the page. Repeats the request as long as the server answers 401 and the reader
 * gives another key, unless `asksForKey` is false; `onSend` is called as each attempt leaves. Throws a Failure, and what
 * `init.signal` was aborted with.
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

async function attempt(path, init) {
  try {
    return await fetch(path, init);
  } catch {
    init.signal?.throwIfAborted();
    throw Failure.ofNetwork(false);
  }
}
