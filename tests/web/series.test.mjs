import assert from 'node:assert/strict';
import { test } from 'node:test';

import { passedS, Recent, requestKey, requestRates, SPAN_S } from '../../src/tokenfall/web/series.js';

/** What holds these values of `a`, a second apart; the last at `lastAt`. */
function recentOf(values, lastAt = 1000) {
  const recent = new Recent();
  values.forEach((a, n) => recent.push(lastAt - (values.length - 1 - n), { a }));
  return recent;
}

/** The runs of `a`, with whole seconds before the newest in place of places. */
const runs = (recent) => recent.runs('a').map((run) => run.map(([x, value]) => [Math.round(SPAN_S - x), value]));

test('before the first sample there is nothing', () => {
  const recent = new Recent();
  assert.deepEqual(recent.runs('a'), []);
  assert.equal(recent.reading(0), null);
  assert.equal(recent.extent(['a']), null);
});

test('samples a second apart are one run that ends at the newest', () => {
  assert.deepEqual(runs(recentOf([1, 2, 3])), [[[2, 1], [1, 2], [0, 3]]]);
});

test('what was not measured, for one second even, is a gap', () => {
  for (const nothing of [null, undefined, NaN]) {
    assert.deepEqual(runs(recentOf([1, nothing, 3])), [[[2, 1]], [[0, 3]]]);
    assert.deepEqual(runs(recentOf([nothing, 2, nothing])), [[[1, 2]]]);
  }
  assert.deepEqual(runs(recentOf([null, null])), []);
});

test('a late sample is no gap, one missing connection is', () => {
  const recent = recentOf([1]);
  recent.push(1002.4, { a: 2 });
  recent.push(1005, { a: 3 });
  assert.deepEqual(recent.runs('a').map((run) => run.length), [2, 1]);
});

test('samples are kept for the span and no longer', () => {
  const recent = recentOf(Array.from({ length: 500 }, (_, n) => n));
  const [run, ...others] = runs(recent);
  assert.deepEqual(others, []);
  assert.deepEqual(run[0], [SPAN_S, 499 - SPAN_S]);
  assert.deepEqual(run.at(-1), [0, 499]);
});

test('however fast samples come, few are kept', () => {
  const recent = new Recent();
  for (let n = 0; n < 5000; n += 1) recent.push(1000 + n / 1000, { a: n });
  assert.equal(recent.runs('a')[0].length, 2 * SPAN_S);
});

test('a clock that is set back takes what came after it away', () => {
  const recent = recentOf([1, 2, 3]);
  recent.push(999, { a: 4 });
  assert.deepEqual(runs(recent), [[[1, 1], [0, 4]]]);
  recent.push(5, { a: 5 });
  assert.deepEqual(runs(recent), [[[0, 5]]]);
});

test('a clock that is set forward leaves the old samples behind', () => {
  const recent = recentOf([1, 2, 3]);
  recent.push(99_999, { a: 4 });
  assert.deepEqual(runs(recent), [[[0, 4]]]);
});

test('a reading is that of the sample nearest to the time', () => {
  const recent = recentOf([1, 2, 3]);
  assert.deepEqual(recent.reading(0), { a: 3 });
  assert.deepEqual(recent.reading(0.4), { a: 3 });
  assert.deepEqual(recent.reading(1), { a: 2 });
  assert.deepEqual(recent.reading(1.6), { a: 1 });
});

test('in a gap and before the first there is no reading', () => {
  const recent = recentOf([1, 2]);
  recent.push(1010, { a: 3 });
  assert.equal(recent.reading(5), null);
  assert.equal(recent.reading(60), null);
  assert.deepEqual(recent.reading(10), { a: 2 });
});

test('the extent is over all names, without what was not measured', () => {
  const recent = new Recent();
  recent.push(1, { a: 0, b: 5 });
  recent.push(2, { a: 2, b: null });
  assert.deepEqual(recent.extent(['a', 'b']), { low: 0, above: 2, high: 5 });
  assert.deepEqual(recent.extent(['b']), { low: 5, above: 5, high: 5 });
  assert.equal(recent.extent(['c']), null);
});

test('where all is zero, nothing is above', () => {
  assert.deepEqual(recentOf([0, 0]).extent(['a']), { low: 0, above: 0, high: 0 });
});

const told = (at, uptime_s, ...counts) => ({
  at,
  uptime_s,
  requests: counts.map((count, n) => ({ route: `/${n}`, status: 200, count })),
});

test('rates are what was counted in between, a second', () => {
  const rates = requestRates(told(100, 50, 10, 4), told(102, 52, 13, 4, 6));
  assert.deepEqual([...rates], [['200 /0', 1.5], ['200 /1', 0], ['200 /2', 3]]);
});

test('without a telling before, or by a server that began anew, there are no rates', () => {
  assert.equal(requestRates(null, told(100, 50, 1)), null);
  assert.equal(requestRates(told(100, 50, 9), told(101, 0.5, 1)), null);
  assert.equal(requestRates(told(100, 50, 9), told(100, 50, 9)), null);
});

test('a clock that was set back makes no difference to them', () => {
  assert.equal(requestRates(told(100, 50, 9), told(40, 52, 13)).get(requestKey({ route: '/0', status: 200 })), 2);
});

test('time passes by the clock that went less far', () => {
  const at = (day, up) => ({ at: day, uptime_s: up });
  assert.equal(passedS(null, at(100, 50)), 0);
  assert.equal(passedS(at(100, 50), at(101, 51.5)), 1);
  assert.equal(passedS(at(100, 50), at(3700, 51)), 1, 'the day was set forward');
  assert.equal(passedS(at(100, 50), at(40, 51)), 1, 'and back');
  assert.equal(passedS(at(100, 50), at(109, 0.5)), 9, 'another process');
  assert.equal(passedS(at(100, 50), at(101, 700)), 1, 'an older one');
  assert.equal(passedS(at(100, 50), at(40, 0.5)), 1, 'nobody knows');
});

test('a count that went down is no negative rate', () => {
  assert.equal(requestRates(told(100, 50, 9), told(101, 51, 8)).get(requestKey({ route: '/0', status: 200 })), 0);
});
