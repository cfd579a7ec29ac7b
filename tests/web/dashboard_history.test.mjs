import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

const requests = [];
let answer = null;
const put = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
put('navigator', { onLine: true });
put('fetch', async (path) => {
  requests.push(path);
  return answer();
});

const { RANGES, Samples } = await import('../../src/tokenfall/web/dashboard_history.js');

const [TWO_MINUTES, QUARTER, HOUR, DAY] = RANGES;
const NO_KEYS = { current: '', renew: async () => false };

const event = (n) => ({ at: 1e9 + n, uptime_s: n, streams: n, resident_bytes: 0, requests: [], upstream_errors: {} });

/** A history response with these stream counts; the last value is that of second `n`. */
function history(n, streams, step_s = 1) {
  const nothing = streams.map(() => null);
  const parts = ['count', 'p50_s', 'p90_s', 'p99_s'];
  const latencies = ['ttft', 'inter_token', 'ticker_late'].flatMap((name) => parts.map((part) => [`${name}_${part}`, nothing]));
  return {
    at: 1e9 + n, step_s, streams, connections: nothing, resident_bytes: nothing, request_memory_bytes: nothing,
    response_memory_bytes: nothing, tokens_per_s: nothing, requests_per_s: nothing, ...Object.fromEntries(latencies), errors: {}, upstream_errors: {}, upstream_ttft_p90_s: {},
  };
}

const streamsOf = (samples, range) => samples.window(range).runs('streams').map((run) => run.map(([, value]) => value));

beforeEach(() => {
  requests.length = 0;
  answer = () => Response.json(history(10, [1, 2, 3]));
});

test('the history before the first event is loaded once per connection', async () => {
  let changes = 0;
  const samples = new Samples(NO_KEYS, () => (changes += 1));
  await samples.load(TWO_MINUTES);
  assert.deepEqual(requests, [], 'nothing has come yet');
  samples.add(event(10.5));
  await samples.load(TWO_MINUTES);
  samples.add(event(11.5));
  await samples.load(QUARTER);
  assert.deepEqual([requests, changes], [['board/history?range=15m'], 1]);
  assert.deepEqual(streamsOf(samples, TWO_MINUTES), [[1, 2, 3, 10.5, 11.5]]);
  samples.begin();
  await samples.load(TWO_MINUTES);
  assert.equal(requests.length, 2);
});

test('minute averages are loaded when shown and then every minute', async () => {
  answer = () => Response.json(history(0, [4, 5], 60));
  const samples = new Samples(NO_KEYS, () => {});
  for (let n = 1; n <= 130; n += 1) {
    samples.add(event(n));
    await samples.load(n % 2 ? HOUR : DAY);
  }
  assert.deepEqual(requests, Array(3).fill('board/history?range=24h'));
});

test('new samples are shown if the history is not available', async () => {
  for (const failure of [() => Promise.reject(new TypeError('no network')), () => Response.json({}, { status: 404 })]) {
    answer = failure;
    const samples = new Samples(NO_KEYS, () => assert.fail('nothing has changed'));
    samples.add(event(5));
    await samples.load(TWO_MINUTES);
    assert.deepEqual(streamsOf(samples, TWO_MINUTES), [[5]]);
  }
});

test('a clock change does not shift the history', async () => {
  answer = () => Response.json(history(5000, [1, 2]));
  const samples = new Samples(NO_KEYS, () => {});
  samples.add(event(10));
  await samples.load(TWO_MINUTES);
  assert.deepEqual(streamsOf(samples, TWO_MINUTES), [[1, 2]]);
});

test('each range shows its part of the samples, with labels at its quarters', () => {
  assert.deepEqual(RANGES.map(({ spanS }) => spanS), [120, 900, 3600, 86_400]);
  assert.ok(RANGES.every(({ ticks }) => ticks.length === 4));
});
