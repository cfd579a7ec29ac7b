import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { singleTab } from './single_tab.mjs';

let page = null; // the document of the current test
let timers = []; // pending timers { at, run } of the fake clock
let nowMs = 0;
const requests = []; // [path, Authorization] of each request
let answers = []; // queued responses, functions of the request's signal; the last one is reused
const put = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
put('navigator', singleTab());
put('addEventListener', () => {});
put('setTimeout', (run, ms) => {
  const timer = { at: nowMs + ms, run };
  timers.push(timer);
  return timer;
});
put('setInterval', () => 0); // the watchdog of stream.js, which would keep the process alive for 45 s
put('clearTimeout', (timer) => (timers = timers.filter((other) => other !== timer)));
put('fetch', async (path, { headers, signal }) => {
  signal.throwIfAborted();
  requests.push([path, headers.Authorization]);
  return (answers.length > 1 ? answers.shift() : answers[0])(signal);
});

const { DashboardFeed, waitS } = await import('../../src/tokenfall/web/dashboard_feed.js');

const NO_KEYS = { current: '', renew: async () => false };
const problem = (status, code) => () => Response.json({ code }, { status });
const unreachable = () => Promise.reject(new TypeError('no network'));

/** A stream of these chunks; it stays open unless `ends` is set. */
function streaming(pieces, ends = false) {
  return (signal) => {
    const body = new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
        if (ends) controller.close();
        signal.addEventListener('abort', () => controller.error(signal.reason));
      },
    });
    return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } });
  };
}

/** A started feed, and its callbacks so far: states as strings, samples as objects. */
function startFeed(keys = NO_KEYS) {
  const callbacks = [];
  const feed = new DashboardFeed(keys, {
    onSample: (sample) => callbacks.push(sample),
    onState: (state, words) => callbacks.push(`${state}: ${words}`),
  });
  feed.start();
  return { feed, callbacks };
}

/** Runs all pending microtasks and immediate callbacks. */
async function settle() {
  for (let n = 0; n < 20; n += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function pass(ms) {
  await settle();
  const untilMs = nowMs + ms;
  for (;;) {
    const next = timers.filter(({ at }) => at <= untilMs).toSorted((a, b) => a.at - b.at)[0];
    if (next === undefined) break;
    nowMs = next.at;
    clearTimeout(next);
    next.run();
    await settle();
  }
  nowMs = untilMs;
}

function hide(hidden) {
  page.hidden = hidden;
  page.dispatchEvent(new Event('visibilitychange'));
}

beforeEach(() => {
  timers = []; // timers of the previous test never fire
  requests.length = 0;
  page = Object.assign(new EventTarget(), { hidden: false });
  put('document', page);
});

test('each event is a sample; the first event of a connection sets the state to live', async () => {
  answers = [streaming(['data: {"at":1}\n', '\ndata: {"at":2}\n\n'])];
  const { callbacks } = startFeed();
  await settle();
  assert.deepEqual(callbacks, ['live: ', { at: 1 }, { at: 2 }]);
  assert.deepEqual(requests, [['board/events', undefined]]);
});

test('reconnect delays are 1, 2, 4, 8 and then 10 seconds', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 100].map(waitS), [1, 2, 4, 8, 10, 10, 10]);
});

test('an unreachable server is retried with increasing delays', async () => {
  answers = [unreachable];
  const { callbacks } = startFeed();
  await settle();
  assert.deepEqual(callbacks, ['waiting: The server cannot be reached.']);
  await pass(999);
  assert.equal(requests.length, 1);
  await pass(1);
  assert.equal(requests.length, 2);
  await pass(1000);
  assert.equal(requests.length, 2);
  await pass(1000);
  assert.equal(requests.length, 3);
});

test('reconnect delays restart after a connection with an event', async () => {
  answers = [unreachable, unreachable, streaming(['data: {"at":1}\n\n'], true), unreachable];
  const { callbacks } = startFeed();
  await pass(1000);
  await pass(2000);
  assert.deepEqual(callbacks.slice(-3), ['live: ', { at: 1 }, 'waiting: The connection was lost.']);
  await pass(1000);
  assert.equal(requests.length, 4);
  await pass(2000 + 4000 + 7999);
  assert.equal(requests.length, 6, 'nothing of the lost connection wakes it up');
});

test('starting the feed again ends the reconnect delay', async () => {
  answers = [unreachable, streaming(['data: {"at":1}\n\n'])];
  const { feed, callbacks } = startFeed();
  await settle();
  feed.start();
  await pass(2000);
  assert.deepEqual(callbacks.slice(1), ['live: ', { at: 1 }]);
  assert.equal(requests.length, 2);
});

test('a server that shuts down is reported as stopping', async () => {
  answers = [streaming(['event: error\ndata: {"error":{"code":"shutting_down","message":"m"}}\n\n'])];
  const { callbacks } = startFeed();
  await settle();
  assert.deepEqual(callbacks, ['waiting: The server is stopping.']);
});

test('a silent connection is closed and reopened', async () => {
  answers = [streaming(['data: {"at":1}\n\n', ': no event\n']), streaming([])];
  const { callbacks } = startFeed();
  await pass(2999);
  assert.deepEqual(callbacks, ['live: ', { at: 1 }]);
  await pass(7000);
  assert.deepEqual(callbacks.slice(2), ['late: ']);
  await pass(1);
  assert.deepEqual(callbacks.slice(3), ['waiting: The server stopped sending data.']);
  assert.equal(requests.length, 2);
  await pass(10_000);
  assert.equal(requests.length, 3, 'silent from the start');
});

test('the state is live again with the next event after a delay', async () => {
  let tell = null;
  answers = [(signal) => {
    const body = new ReadableStream({ start: (controller) => (tell = (text) => controller.enqueue(new TextEncoder().encode(text))) });
    signal.addEventListener('abort', () => {});
    return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } });
  }];
  const { callbacks } = startFeed();
  await settle();
  tell('data: {"at":1}\n\n');
  await pass(3000);
  tell('data: {"at":5}\n\n');
  await settle();
  tell('data: {"at":6}\n\n');
  await settle();
  assert.deepEqual(callbacks, ['live: ', { at: 1 }, 'late: ', 'live: ', { at: 5 }, { at: 6 }]);
  assert.equal(requests.length, 1);
});

test('an unparsable event is not a sample', async (t) => {
  t.mock.method(console, 'error', () => {});
  answers = [streaming(['data: {"at":\n\n'])];
  const { callbacks } = startFeed();
  await settle();
  assert.deepEqual(callbacks, ['waiting: Something went wrong on the server.']);
  assert.equal(console.error.mock.callCount(), 1);
});

test('a feed that is started twice has one connection', async () => {
  const signals = [];
  const silent = streaming(['data: {"at":1}\n\n']);
  answers = [(signal) => (signals.push(signal), silent(signal))];
  const { feed, callbacks } = startFeed();
  await pass(2000);
  feed.start();
  await settle();
  assert.deepEqual(signals.map((signal) => signal.aborted), [true, false]);
  assert.deepEqual(callbacks, ['live: ', { at: 1 }, 'live: ', { at: 1 }]);
  await pass(9000);
  assert.equal(requests.length, 2, 'the first connection left no timer behind');
});

test('a response of another content type is an error', async () => {
  answers = [() => new Response('<p>Sign in')];
  const { callbacks } = startFeed();
  await settle();
  assert.match(callbacks[0], /^waiting: Something other than the server responded/);
});

test('known statuses have a message of the page, others the message of the server', async () => {
  for (const [status, words] of [[503, 'The server is busy or restarting.'], [500, 'Something went wrong on the server.']]) {
    answers = [problem(status, 'other')];
    const { callbacks } = startFeed();
    await settle();
    assert.equal(callbacks[0], `waiting: ${words}`);
  }
  answers = [() => Response.json({ code: 'other', detail: 'Not today.' }, { status: 418 })];
  const { callbacks } = startFeed();
  await settle();
  assert.equal(callbacks[0], 'waiting: The server says: Not today.');
});

test('an origin that is not allowed is explained', async () => {
  answers = [problem(403, 'origin_not_allowed')];
  const { callbacks } = startFeed();
  await settle();
  assert.match(callbacks[0], /^waiting: Without an API key, the dashboard is shown only on the server’s own machine/);
});

test('the key prompt is shown once per start', async () => {
  answers = [problem(401, 'unauthorized')];
  const refused = [];
  const keys = { current: 'old', renew: async (key) => (refused.push(key), false) };
  const { feed, callbacks } = startFeed(keys);
  await pass(60_000);
  assert.deepEqual(callbacks, ['refused: The dashboard needs an API key.']);
  assert.deepEqual(refused, ['old']);
  hide(true);
  await pass(60_000);
  hide(false);
  await settle();
  assert.equal(requests.length, 1);
  feed.start();
  await settle();
  assert.equal(requests.length, 2);
});

test('a new key is used immediately', async () => {
  answers = [problem(401, 'unauthorized'), streaming(['data: {"at":1}\n\n'])];
  const keys = { current: 'old', renew: async () => ((keys.current = 'new'), true) };
  const { callbacks } = startFeed(keys);
  await settle();
  assert.deepEqual(callbacks, ['live: ', { at: 1 }]);
  assert.deepEqual(requests, [['board/events', 'Bearer old'], ['board/events', 'Bearer new']]);
});

test('a hidden tab disconnects and reconnects when it is visible', async () => {
  let left = 0;
  const silent = streaming(['data: {"at":1}\n\n']);
  answers = [(signal) => (signal.addEventListener('abort', () => (left += 1)), silent(signal))];
  const { callbacks } = startFeed();
  await settle();
  hide(true);
  await settle();
  assert.deepEqual([requests.length, left, callbacks.at(-1)], [1, 1, 'waiting: ']);
  await pass(60_000);
  assert.equal(requests.length, 1, 'no more tries while hidden');
  hide(false);
  await settle();
  assert.equal(requests.length, 2);
  assert.deepEqual(callbacks.slice(-2), ['live: ', { at: 1 }]);
});

test('a tab opened in the background connects when it is visible', async () => {
  page.hidden = true;
  answers = [streaming(['data: {"at":1}\n\n'])];
  const { callbacks } = startFeed();
  await pass(60_000);
  assert.deepEqual([requests, callbacks], [[], []]);
  hide(false);
  await settle();
  assert.deepEqual(callbacks, ['live: ', { at: 1 }]);
});
