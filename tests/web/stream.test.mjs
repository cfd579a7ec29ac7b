import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';

import { Failure } from '../../src/tokenfall/web/failures.js';
import { eventsOf, tokensOf } from '../../src/tokenfall/web/stream.js';

const DONE = 'data: [DONE]\n\n';
const signal = new AbortController().signal; // never aborted

const bytesOf = (text) => (typeof text === 'string' ? new TextEncoder().encode(text) : text);
const frame = (content, id) => `${id ? `id: ${id}\n` : ''}data: ${JSON.stringify({ content })}\n\n`;

/**
 * A response with these chunks. After them it ends, fails (`then` is "fails") or stays open ("waits").
 * `seen` has the number of reads and whether the connection was closed.
 */
function response(pieces, { then = 'ends', error = new TypeError('network error'), headers = {} } = {}) {
  const seen = { reads: 0, cancelled: false };
  const left = [...pieces];
  const body = new ReadableStream(
    {
      pull(controller) {
        seen.reads += 1;
        if (left.length > 0) controller.enqueue(bytesOf(left.shift()));
        else if (then === 'ends') controller.close();
        else if (then === 'fails') controller.error(error);
        else return new Promise(() => {});
        return undefined;
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  const given = { 'Content-Type': 'text/event-stream; charset=utf-8', ...headers };
  return { seen, response: new Response(body, { headers: given }) };
}

/** The items before the end, and the error. */
async function outcome(events) {
  const received = [];
  try {
    for await (const event of events) received.push(event);
  } catch (error) {
    return { received, error };
  }
  return { received, error: null };
}

const tokens = (pieces, options) => outcome(tokensOf(response(pieces, options).response, signal));

beforeEach(() => {
  Object.defineProperty(globalThis, 'navigator', { value: { onLine: true }, configurable: true, writable: true });
});
afterEach(() => delete globalThis.navigator);

test('a connection without data for 45 s counts as broken', async (t) => {
  let nowMs = 0;
  let check;
  t.mock.method(performance, 'now', () => nowMs);
  t.mock.method(globalThis, 'setInterval', (act) => (check = act));
  const cleared = t.mock.method(globalThis, 'clearInterval', () => {});
  const { response: silent, seen } = response([frame('a', 1), ': ping\n\n'], { then: 'waits' });
  const reading = outcome(tokensOf(silent, signal));
  for (nowMs of [44_000, 45_000]) {
    await settled();
    check();
    assert.equal(seen.cancelled, false);
  }
  nowMs = 91_000;
  check();
  const { received, error } = await reading;
  assert.deepEqual([received, error.code, seen.cancelled], [[{ text: 'a', id: '1' }], 'cut', true]);
  assert.equal(cleared.mock.callCount(), 1);
});

describe('the events of a response', () => {
  test('are the events of its body at any chunking', async () => {
    const bytes = bytesOf('event: a\ndata: wörd 🌧\n\ndata: 2\n\n');
    const { response: cut } = response(Array.from(bytes, (byte) => Uint8Array.of(byte)));
    const { received, error } = await outcome(eventsOf(cut));
    assert.deepEqual(received.map(({ type, data }) => [type, data]), [['a', 'wörd 🌧'], ['message', '2']]);
    assert.equal(error, null);
  });

  test('are dispatched with the chunk that completes them', async () => {
    const { response: slow, seen } = response(['data: 1\n\n', 'data: 2\n\n'], { then: 'waits' });
    const events = eventsOf(slow);
    assert.equal((await events.next()).value.data, '1');
    assert.equal(seen.reads, 1);
    await events.next();
    await events.return();
  });

  test('close the connection when the loop is left', async () => {
    const { response: endless, seen } = response(['data: 1\n\n'], { then: 'waits' });
    for await (const { data } of eventsOf(endless)) {
      assert.equal(data, '1');
      break;
    }
    assert.ok(seen.cancelled);
  });

  test('close the connection when the consumer throws', async () => {
    const { response: endless, seen } = response(['data: 1\n\n'], { then: 'waits' });
    const read = async () => {
      for await (const { data } of eventsOf(endless)) throw new Error(`planted at ${data}`);
    };
    await assert.rejects(read, /planted at 1/);
    assert.ok(seen.cancelled);
  });

  for (const type of ['text/html', 'application/json', 'text/plain; charset=utf-8', '', 'x-text/event-stream']) {
    test(`are not looked for in ${type || 'what has no type'}`, async () => {
      const { response: other } = response(['data: 1\n\n'], { headers: { 'Content-Type': type } });
      const { received, error } = await outcome(eventsOf(other));
      assert.deepEqual([received, error.code], [[], 'unexpected']);
    });
  }

  test('of another content type close the connection', async () => {
    const { response: endless, seen } = response(['<p>'], { then: 'waits', headers: { 'Content-Type': 'text/html' } });
    await outcome(eventsOf(endless));
    assert.ok(seen.cancelled);
  });

  test('without content type and body are a failure, not a defect', async () => {
    const { error } = await outcome(eventsOf(new Response(null, { status: 204 })));
    assert.ok(error instanceof Failure, `${error}`);
  });
});

describe('the tokens of a response', () => {
  test('have the ids used for resumption', async () => {
    const { received, error } = await tokens([frame('Large', 1) + frame(' words', 2), frame('.', 3) + DONE]);
    assert.deepEqual(received, [{ text: 'Large', id: '1' }, { text: ' words', id: '2' }, { text: '.', id: '3' }]);
    assert.equal(error, null);
  });

  test('have an empty id if the event has none', async () => {
    assert.deepEqual((await tokens([frame('a') + DONE])).received, [{ text: 'a', id: '' }]);
  });

  test('end with [DONE], after which nothing is read and the connection is closed', async () => {
    const { response: endless, seen } = response([frame('a', 1) + DONE + frame('b', 2), frame('c', 3)], { then: 'waits' });
    const { received, error } = await outcome(tokensOf(endless, signal));
    assert.deepEqual([received.map(({ text }) => text), error], [['a'], null]);
    assert.deepEqual(seen, { reads: 1, cancelled: true });
  });

  test('may be absent', async () => {
    assert.deepEqual(await tokens([DONE]), { received: [], error: null });
  });

  test('may be empty and have an id', async () => {
    assert.deepEqual((await tokens([frame('', 1) + DONE])).received, [{ text: '', id: '1' }]);
  });

  test('exclude events without text content', async () => {
    const others = ['{}', '{"content":null}', '{"content":7}', '{"content":["a"]}', '{"contents":"a"}', '[]'];
    const { received, error } = await tokens([...others.map((data) => `data: ${data}\n\n`), ': ping\n\n', DONE]);
    assert.deepEqual([received, error], [[], null]);
  });

  for (const data of ['{"content":"a', '', 'null', '7', '"text"', 'true', '[DONE', '<html>', ' [DONE]']) {
    test(`end as unreadable at ${JSON.stringify(data)}`, async () => {
      const pieces = [frame('a', 1), `data: ${data}\n\n`, DONE];
      const { received, error } = await tokens(pieces, { headers: { 'X-Request-Id': 'r-1' } });
      assert.deepEqual([received.length, error.code, error.requestId], [1, 'unreadable', 'r-1']);
    });
  }
});

describe('a response without [DONE]', () => {
  const CUT = {
    'that says nothing': [],
    'after a token': [frame('a', 1)],
    'within a token': [frame('a', 1), 'id: 2\ndata: {"content":"b'],
    'within the end': [frame('a', 1), 'data: [DONE]\n'],
    'after a comment': [frame('a', 1), ': ping\n\n'],
  };
  for (const [name, pieces] of Object.entries(CUT)) {
    test(`${name} is cut`, async () => {
      const { received, error } = await tokens(pieces, { headers: { 'X-Request-Id': 'r-1' } });
      assert.deepEqual([received.length, error.code, error.requestId], [pieces.length ? 1 : 0, 'cut', 'r-1']);
    });
  }

  test('is incomplete if the connection breaks', async () => {
    const { received, error } = await tokens([frame('a', 1)], { then: 'fails' });
    assert.deepEqual([received.length, error.code], [1, 'cut']);
  });

  test('reports a network error', async () => {
    navigator.onLine = false;
    assert.equal((await tokens([frame('a', 1)], { then: 'fails' })).error.code, 'offline');
  });

  test('is no network error after an abort', async () => {
    const error = new DOMException('aborted', 'AbortError');
    assert.equal((await tokens([frame('a', 1)], { then: 'fails', error })).error, error);
  });
});

describe('an error event', () => {
  test('ends the response with its message', async () => {
    const data = JSON.stringify({ error: { code: 'upstream_reset', message: 'It broke.', resumable: false } });
    const pieces = [frame('a', 1), `event: error\ndata: ${data}\n\n${DONE}`];
    const { received, error } = await tokens(pieces, { headers: { 'X-Request-Id': 'r-1' } });
    const { code, detail, requestId, resumable } = error;
    assert.ok(error instanceof Failure);
    assert.deepEqual([received.length, code, detail, requestId, resumable], [1, 'upstream_reset', 'It broke.', 'r-1', false]);
  });

  for (const data of ['', '<html>', 'null', '{}', '{"error":"text"}', '{"error":']) {
    test(`with ${JSON.stringify(data)} is still one`, async () => {
      assert.equal((await tokens([`event: error\ndata: ${data}\n\n${DONE}`])).error.code, 'error');
    });
  }

  test('closes the connection', async () => {
    const { response: endless, seen } = response(['event: error\ndata: {}\n\n'], { then: 'waits' });
    await outcome(tokensOf(endless, signal));
    assert.ok(seen.cancelled);
  });
});

describe('a consumer that stops', () => {
  test('receives no further events of the same chunk', async () => {
    const leaving = new AbortController();
    const { response: endless, seen } = response([frame('a', 1) + frame('b', 2) + DONE], { then: 'waits' });
    const received = [];
    const read = async () => {
      for await (const { text } of tokensOf(endless, leaving.signal)) {
        received.push(text);
        leaving.abort();
      }
    };
    await assert.rejects(read, { name: 'AbortError' });
    assert.deepEqual([received, seen.cancelled], [['a'], true]);
  });

  test('receives no end', async () => {
    const leaving = new AbortController();
    leaving.abort();
    const { error } = await outcome(tokensOf(response([DONE]).response, leaving.signal));
    assert.equal(error.name, 'AbortError');
  });

  test('by leaving the loop closes the connection', async () => {
    const { response: endless, seen } = response([frame('a', 1)], { then: 'waits' });
    for await (const { text } of tokensOf(endless, signal)) {
      assert.equal(text, 'a');
      break;
    }
    assert.ok(seen.cancelled);
  });
});
