import assert from 'node:assert/strict';
import { test } from 'node:test';

import { measured, Pace } from '../../src/tokenfall/web/pace.js';

/** The figures of a response requested at `sentMs`, with tokens at these times. */
function paced(sentMs, ...tokensMs) {
  const pace = new Pace();
  pace.start(sentMs);
  for (const ms of tokensMs) pace.countToken(ms);
  return pace;
}

/** Times of `count` tokens, `gapMs` apart. */
const every = (gapMs, count, firstMs = 0) => Array.from({ length: count }, (_, number) => firstMs + number * gapMs);

test('without a token there is no figure', () => {
  assert.equal(new Pace().summary, '');
  assert.equal(paced(5).summary, '');
});

test('one token has a latency and no rate', () => {
  assert.equal(paced(1000, 1310).summary, 'First token after 310 ms');
});

test('the rate excludes the wait for the first token', () => {
  assert.equal(paced(0, ...every(20, 11, 500)).summary, 'First token after 500 ms, then 50.0 tokens/s');
  assert.equal(paced(0, 500, 1500).summary, 'First token after 500 ms, then 1.0 tokens/s');
});

test('tokens received at the same time have no rate', () => {
  assert.equal(paced(0, 500, 500, 500.5).summary, 'First token after 500 ms');
});

test('times from a second on are in seconds, with fewer digits the longer they are', () => {
  const FIRSTS = [[0, '0 ms'], [0.4, '0 ms'], [999, '999 ms'], [1000, '1.00 s'], [1234, '1.23 s'], [12_340, '12.3 s']];
  for (const [afterMs, expected] of FIRSTS) assert.equal(paced(100, 100 + afterMs).summary, `First token after ${expected}`);
});

test('rates from a hundred on are integers', () => {
  const RATES = [[16, '62.5'], [10, '100'], [3, '333'], [0.5, '2000']];
  for (const [gapMs, expected] of RATES) assert.match(paced(0, ...every(gapMs, 21)).summary, new RegExp(` ${expected} tokens/s$`));
});

test('a request that is repeated is measured from its last attempt', () => {
  const pace = paced(100);
  pace.start(60_000);
  pace.countToken(60_250);
  assert.equal(pace.summary, 'First token after 250 ms');
});

test('a monotonic clock is used', (t) => {
  let nowMs = 0;
  t.mock.method(Date, 'now', () => (nowMs -= 3_600_000));
  const pace = new Pace();
  pace.start();
  pace.countToken();
  assert.match(pace.summary, /^First token after \d+ ms$/);
});

test('figures measured elsewhere have the same format, without missing ones', () => {
  assert.equal(measured(0.31, 48.24), 'First token after 310 ms, then 48.2 tokens/s');
  assert.equal(measured(1.5, null), 'First token after 1.50 s');
  assert.equal(measured(undefined, 250), '250 tokens/s');
  assert.equal(measured(null, Number.NaN), '');
});
