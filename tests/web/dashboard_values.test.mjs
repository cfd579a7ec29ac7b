import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MIB, requestKey, requestRates, rowsOf, splitFailed, valuesOf } from '../../src/tokenfall/web/dashboard_values.js';

const sample = (at, uptime_s, ...counts) => ({
  at,
  uptime_s,
  requests: counts.map((count, n) => ({ route: `/${n}`, status: 200, count, failed: 0 })),
});

test('rates are differences of counters per second', () => {
  const rates = requestRates(sample(100, 50, 10, 4), sample(102, 52, 13, 4, 6));
  assert.deepEqual([...rates], [['200 /0', 1.5], ['200 /1', 0], ['200 /2', 3]]);
});

test('there are no rates without a previous event or after a server restart', () => {
  assert.equal(requestRates(null, sample(100, 50, 1)), null);
  assert.equal(requestRates(sample(100, 50, 9), sample(101, 0.5, 1)), null);
  assert.equal(requestRates(sample(100, 50, 9), sample(100, 50, 9)), null);
});

test('a clock that is set back does not change the rates', () => {
  assert.equal(requestRates(sample(100, 50, 9), sample(40, 52, 13)).get(requestKey({ route: '/0', status: 200 })), 2);
});

test('a decreasing counter gives no negative rate', () => {
  assert.equal(requestRates(sample(100, 50, 9), sample(101, 51, 8)).get(requestKey({ route: '/0', status: 200 })), 0);
});

test('failed streams are separate entries', () => {
  const entry = { route: '/chat', status: 200, count: 5 };
  assert.deepEqual(splitFailed([{ ...entry, failed: 2 }]), [{ ...entry, count: 3 }, { ...entry, count: 2, failed: true }]);
  assert.deepEqual(splitFailed([{ ...entry, failed: 5 }]), [{ ...entry, failed: true }]);
  assert.deepEqual(splitFailed([entry]), [entry], 'of an older server');
});

const MEMORIES = { resident_bytes: 3 * MIB, request_memory_bytes: 2 * MIB, response_memory_bytes: MIB };

/** An event with these upstream requests and failures. */
function event(uptime_s, requests, upstream_errors = {}) {
  return { at: 1000 + uptime_s, uptime_s, requests, upstream_errors, streams: 2, ...MEMORIES, ttft: null };
}

test('an event has its gauges, and percentiles where there are any', () => {
  const values = valuesOf({ ...event(5, []), ttft: { count: 4, p50_s: 0.1, p90_s: 0.2, p99_s: 0.3 } }, null);
  assert.deepEqual([values.memory, values.request_memory, values.response_memory], [3, 2, 1]);
  assert.deepEqual([values.ttft_p50, values.ttft_p99, values.ttft_count], [0.1, 0.3, 4]);
  assert.deepEqual([values.inter_token_p50, values.inter_token_count], [undefined, 0]);
});

test('errors are rates by code since the previous event', () => {
  const entry = (route, status, count, failed = 0) => ({ route, status, count, failed });
  const before = event(5, [entry('/chat', 429, 1), entry('/chat', 200, 9, 1)], { upstream_reset: 1 });
  const after = event(7, [entry('/chat', 429, 3), entry('/v1', 429, 4), entry('/chat', 200, 12, 2)], { upstream_reset: 1 });
  const values = valuesOf(after, before);
  const errors = Object.entries(values).filter(([name]) => /^(error|upstream):/.test(name));
  assert.deepEqual(Object.fromEntries(errors), { 'error:429': 3, 'error:failed': 0.5, 'upstream:upstream_reset': 0 });
  assert.equal('error:429' in valuesOf(after, null), false, 'nothing is known of the time before');
});

test('models of the upstream are separate values', () => {
  const values = valuesOf({ ...event(5, []), upstream_ttft: [{ model: 'llama', count: 1, p90_s: 0.3 }] }, null);
  assert.equal(values['model:llama'], 0.3);
});

/** A history with these columns; other columns have no values. */
function history(columns) {
  const { length } = columns.streams;
  const nothing = Array(length).fill(null);
  const latencies = ['ttft', 'inter_token', 'ticker_late'].flatMap((name) =>
    ['count', 'p50_s', 'p90_s', 'p99_s'].map((part) => [`${name}_${part}`, nothing]));
  return {
    connections: nothing, resident_bytes: nothing, request_memory_bytes: nothing, response_memory_bytes: nothing, tokens_per_s: nothing, requests_per_s: nothing,
    ...Object.fromEntries(latencies), errors: {}, upstream_errors: {}, upstream_ttft_p90_s: {}, ...columns,
  };
}

test('rows of the history have the names of events', () => {
  const rows = rowsOf(history({
    streams: [1, null], resident_bytes: [MIB, null], request_memory_bytes: [2 * MIB, null], ttft_p50_s: [0.1, null], errors: { 429: [3, null] },
    upstream_errors: { upstream_reset: [1, null] }, upstream_ttft_p90_s: { llama: [0.2, null] },
  }));
  assert.equal(rows[1], null);
  const { streams, memory, request_memory, ttft_p50, tokens } = rows[0];
  assert.deepEqual([streams, memory, request_memory, ttft_p50, tokens], [1, 1, 2, 0.1, null]);
  assert.deepEqual([rows[0]['error:429'], rows[0]['upstream:upstream_reset'], rows[0]['model:llama']], [3, 1, 0.2]);
  const names = Object.keys(valuesOf(event(5, []), null));
  assert.deepEqual(names.filter((name) => !(name in rows[0])), []);
});
