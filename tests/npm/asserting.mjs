/** What several cases look at. */

import assert from 'node:assert/strict';

/** Everything that an async iterable gives. */
export async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

/** How many streams each server is playing. */
async function inFlight(servers) {
  const counts = servers.map(async (server) => {
    const metrics = await (await fetch(`${server}/metrics`)).text();
    return Number(/^tokenfall_streams_in_flight (\S+)$/m.exec(metrics)[1]);
  });
  return Promise.all(counts);
}

/** Returns once every server plays `wanted` streams: each look is a request's round trip. */
export async function playing(servers, wanted) {
  const until = Date.now() + 10_000;
  for (;;) {
    const counts = await inFlight(servers);
    if (counts.every((count) => count === wanted)) return;
    assert.ok(Date.now() < until, `${counts} streams in flight, not ${wanted}`);
  }
}

/** How many words `text` has: as many tokens as the simulator counts. */
export function words(text) {
  return text.split(/\s+/).filter(Boolean).length;
}

/** What `make` rejects with. */
export async function thrown(make) {
  try {
    await make();
  } catch (error) {
    return error;
  }
  assert.fail('nothing was thrown');
}

/** Node's own `fetch` that notes the status of every answer in `statuses`. */
export function noting(statuses) {
  return async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  };
}
