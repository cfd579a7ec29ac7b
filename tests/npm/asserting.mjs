/** Helpers of several cases. */

import assert from 'node:assert/strict';

/** All items of an async iterable. */
export async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

/** The number of running streams of each server. */
async function inFlight(servers) {
  const counts = servers.map(async (server) => {
    const metrics = await (await fetch(`${server}/metrics`)).text();
    return Number(/^tokenfall_streams_in_flight (\S+)$/m.exec(metrics)[1]);
  });
  return Promise.all(counts);
}

/** Returns once every server has `wanted` running streams; polls by requests. */
export async function playing(servers, wanted) {
  const until = Date.now() + 10_000;
  for (;;) {
    const counts = await inFlight(servers);
    if (counts.every((count) => count === wanted)) return;
    assert.ok(Date.now() < until, `${counts} streams in flight, not ${wanted}`);
  }
}

/** The number of words of `text`, which is the simulator's number of tokens. */
export function words(text) {
  return text.split(/\s+/).filter(Boolean).length;
}

/** The error with which `make` rejects. */
export async function thrown(make) {
  try {
    await make();
  } catch (error) {
    return error;
  }
  assert.fail('nothing was thrown');
}

/** `fetch` of Node that appends the status of each response to `statuses`. */
export function noting(statuses) {
  return async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  };
}
