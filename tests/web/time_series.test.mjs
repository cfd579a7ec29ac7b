import assert from 'node:assert/strict';
import { test } from 'node:test';

import { passedS, TimeSeries } from '../../src/tokenfall/web/time_series.js';

const SPAN_S = 120;

const recently = () => new TimeSeries({ spanS: SPAN_S });

/** A series with these values of `a` at one-second intervals; the last at `lastAt`. */
function recentOf(values, lastAt = 1000) {
  const recent = recently();
  values.forEach((a, n) => recent.push(lastAt - (values.length - 1 - n), { a }));
  return recent;
}

/** The last two minutes before `end`. */
const shown = (recent, end = 1000) => recent.window(end, SPAN_S);

/** The runs of `a`, with seconds before the end as positions. */
const runs = (recent, end) => shown(recent, end).runs('a').map((run) => run.map(([x, value]) => [Math.round(SPAN_S - x), value]));

test('there is no run before the first sample', () => {
  const window = shown(recently());
  assert.deepEqual(window.runs('a'), []);
  assert.equal(window.reading(0), null);
  assert.equal(window.extent(['a']), null);
});

test('samples at one-second intervals are one run that ends at the newest', () => {
  assert.deepEqual(runs(recentOf([1, 2, 3])), [[[2, 1], [1, 2], [0, 3]]]);
});

test('a missing value is a gap', () => {
  for (const nothing of [null, undefined, NaN]) {
    assert.deepEqual(runs(recentOf([1, nothing, 3])), [[[2, 1]], [[0, 3]]]);
    assert.deepEqual(runs(recentOf([nothing, 2, nothing])), [[[1, 2]]]);
  }
  assert.deepEqual(runs(recentOf([null, null])), []);
});

test('a late sample is no gap, a missing one is', () => {
  const recent = recentOf([1]);
  recent.push(1002.4, { a: 2 });
  recent.push(1005, { a: 3 });
  assert.deepEqual(shown(recent, 1005).runs('a').map((run) => run.length), [2, 1]);
});

test('samples are kept for the span only', () => {
  const recent = recentOf(Array.from({ length: 500 }, (_, n) => n));
  const [run, ...others] = recent.window(1000, 1e6).runs('a');
  assert.deepEqual(others, []);
  assert.equal(run.length, SPAN_S + 1);
  assert.equal(run.at(-1)[1], 499);
});

test('a shorter window contains the newest samples', () => {
  const window = recentOf(Array.from({ length: 100 }, (_, n) => n)).window(1000, 10);
  assert.deepEqual(window.runs('a')[0][0], [0, 89]);
  assert.deepEqual(window.extent(['a']), { low: 89, above: 89, high: 99 });
});

test('the number of samples is bounded at any rate', () => {
  const recent = recently();
  for (let n = 0; n < 5000; n += 1) recent.push(1000 + n / 1000, { a: n });
  assert.equal(shown(recent, 1005).runs('a')[0].length, 2 * SPAN_S);
});

test('a clock that is set back removes later samples', () => {
  const recent = recentOf([1, 2, 3]);
  recent.push(999, { a: 4 });
  assert.deepEqual(runs(recent, 999), [[[1, 1], [0, 4]]]);
  recent.push(5, { a: 5 });
  assert.deepEqual(runs(recent, 5), [[[0, 5]]]);
});

test('a clock that is set forward drops the old samples', () => {
  const recent = recentOf([1, 2, 3]);
  recent.push(99_999, { a: 4 });
  assert.deepEqual(runs(recent, 99_999), [[[0, 4]]]);
});

test('a reading is the sample nearest to the time', () => {
  const window = shown(recentOf([1, 2, 3]));
  assert.deepEqual(window.reading(0), { a: 3 });
  assert.deepEqual(window.reading(0.4), { a: 3 });
  assert.deepEqual(window.reading(1), { a: 2 });
  assert.deepEqual(window.reading(1.6), { a: 1 });
});

test('in a gap and before the first there is no reading', () => {
  const recent = recentOf([1, 2]);
  recent.push(1010, { a: 3 });
  const window = shown(recent, 1010);
  assert.equal(window.reading(5), null);
  assert.equal(window.reading(60), null);
  assert.deepEqual(window.reading(10), { a: 2 });
});

test('the extent covers all names and ignores missing values', () => {
  const recent = recently();
  recent.push(999, { a: 0, b: 5 });
  recent.push(1000, { a: 2, b: null });
  const window = shown(recent);
  assert.deepEqual(window.extent(['a', 'b']), { low: 0, above: 2, high: 5 });
  assert.deepEqual(window.extent(['b']), { low: 5, above: 5, high: 5 });
  assert.equal(window.extent(['c']), null);
});

test('the extent of zeros is zero', () => {
  assert.deepEqual(shown(recentOf([0, 0])).extent(['a']), { low: 0, above: 0, high: 0 });
});

test('the names with a prefix are those of the highest values, in order', () => {
  const recent = recently();
  recent.push(999, { 'e:c': 1, 'e:a': 3, 'e:zero': 0, 'f:x': 9 });
  recent.push(1000, { 'e:b': 2 });
  assert.deepEqual(shown(recent).namesWith('e:', 6), ['e:a', 'e:b', 'e:c']);
  assert.deepEqual(shown(recent).namesWith('e:', 2), ['e:a', 'e:b']);
  assert.deepEqual(recent.window(1000, 0.5).namesWith('e:', 6), ['e:b'], 'what is not shown has no line');
});

// The history

test('a history is inserted before the later samples', () => {
  const recent = recentOf([7, 8], 1000);
  recent.fill(999.7, [{ a: 1 }, null, { a: 3 }]);
  assert.deepEqual(shown(recent).runs('a').map((run) => run.map(([, a]) => a)), [[1, 3, 8]]);
});

test('samples older than a history are kept', () => {
  const recent = recentOf([1, 2], 950);
  recent.push(1000, { a: 9 });
  recent.fill(999.9, [{ a: 4 }, { a: 5 }]);
  assert.deepEqual(shown(recent).runs('a').map((run) => run.map(([, a]) => a)), [[1, 2], [4, 5, 9]]);
});

test('a history without rows changes nothing', () => {
  const recent = recentOf([1]);
  recent.fill(1000, []);
  recent.fill(1000, [null, null]);
  assert.deepEqual(runs(recent), [[[0, 1]]]);
});

test('minute averages are exact, the newest at most 90 seconds old', () => {
  const recent = new TimeSeries({ spanS: 3600, stepS: 60 });
  recent.fill(940, [{ a: 1 }, { a: 2 }, null, { a: 4 }]);
  const window = recent.window(1000, 3600);
  assert.deepEqual(window.runs('a').map((run) => run.map(([, a]) => a)), [[1, 2], [4]]);
  assert.deepEqual([0, 60, 120, 180].map((ago) => window.reading(ago)?.a), [4, 4, 2, 2]);
  assert.equal(recent.window(1100, 3600).reading(0), null);
});

test('elapsed time tolerates clock changes and restarts', () => {
  const at = (day, up) => ({ at: day, uptime_s: up });
  assert.equal(passedS(null, at(100, 50)), 0);
  assert.equal(passedS(at(100, 50), at(101, 51.5)), 1);
  assert.equal(passedS(at(100, 50), at(3700, 51)), 1, 'the day was set forward');
  assert.equal(passedS(at(100, 50), at(40, 51)), 1, 'and back');
  assert.equal(passedS(at(100, 50), at(109, 0.5)), 9, 'another process');
  assert.equal(passedS(at(100, 50), at(101, 700)), 1, 'an older one');
  assert.equal(passedS(at(100, 50), at(40, 0.5)), 1, 'nobody knows');
});
