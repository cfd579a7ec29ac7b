import assert from 'node:assert/strict';
import { test } from 'node:test';

import { linearScale, logScale } from '../../src/tokenfall/web/scales.js';

test('linear ticks are multiples of 1, 2 or 5 and cover the values', () => {
  assert.deepEqual(linearScale(0, 100).ticks, [0, 50, 100]);
  assert.deepEqual(linearScale(0, 81).ticks, [0, 50, 100]);
  assert.deepEqual(linearScale(0, 80).ticks, [0, 20, 40, 60, 80]);
  assert.deepEqual(linearScale(0, 0.3).ticks, [0, 0.1, 0.2, 0.3]);
  assert.deepEqual(linearScale(22.9, 23.6, 0.5).ticks, [22.5, 23, 23.5, 24]);
});

test('linear ticks keep the minimum distance', () => {
  assert.deepEqual(linearScale(0, 3, 1).ticks, [0, 1, 2, 3]);
  assert.deepEqual(linearScale(0, 1, 1).ticks, [0, 1]);
});

test('a single value and zero have a positive range', () => {
  assert.deepEqual(linearScale(0, 0, 1).ticks, [0, 1]);
  assert.deepEqual(linearScale(23, 23, 0.5).ticks, [23, 23.5]);
  const { ticks, at } = linearScale(0, 0);
  assert.equal(ticks.length, 2);
  assert.equal(at(0), 0);
});

test('the lowest tick is at 0 and the highest at 1, on both scales', () => {
  const logs = [logScale(0.003, 0.4), logScale(0.03, 0.4), logScale(7, 8)];
  const scales = [linearScale(22.9, 23.6, 0.5), linearScale(0, 0.3), ...logs];
  for (const { ticks, at } of scales) {
    assert.ok(Math.abs(at(ticks[0])) < 1e-9);
    assert.ok(Math.abs(at(ticks.at(-1)) - 1) < 1e-9);
  }
});

test('values of every size lie between their ticks', () => {
  for (let power = -7; power < 12; power += 1) {
    for (const factor of [1, 1.0001, 1.9999, 2, 3, 4.9999, 5, 9.9999]) {
      const high = factor * 10 ** power;
      for (const { ticks, at } of [linearScale(0, high, 1e-9), logScale(high / 700, high), logScale(high, high)]) {
        assert.ok(at(high) <= 1 + 1e-9, `${high} in ${ticks}`);
        assert.ok(at(high) >= 0, `${high} in ${ticks}`);
        assert.ok(ticks.length >= 2 && ticks.length <= 8, `${ticks}`);
        assert.deepEqual(ticks, ticks.toSorted((a, b) => a - b));
      }
    }
  }
});

test('a log scale goes from 1, 2 or 5 to 1, 2 or 5, over a decade at least', () => {
  assert.deepEqual(logScale(0.11, 0.15).ticks, [0.1, 0.2, 0.5, 1]);
  assert.deepEqual(logScale(0.25, 1.9).ticks, [0.2, 0.5, 1, 2]);
  assert.deepEqual(logScale(0.001, 0.01).ticks, [0.001, 0.002, 0.005, 0.01]);
});

test('over more than two decades a log scale has whole decades only', () => {
  assert.deepEqual(logScale(0.0005, 0.3).ticks, [0.0001, 0.001, 0.01, 0.1, 1]);
  assert.deepEqual(logScale(0.005, 0.3).ticks, [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]);
});

test('on a log scale zero and very small values are at the bottom', () => {
  const { ticks, at } = logScale(1e-9, 30);
  assert.deepEqual(ticks, [1e-4, 1e-3, 0.01, 0.1, 1, 10, 100]);
  assert.equal(at(0), 0);
  assert.equal(at(1e-9), 0);
  assert.ok(Math.abs(at(0.1) - 0.5) < 1e-9);
});
