import assert from 'node:assert/strict';
import { test } from 'node:test';

import { age, bytes, count, latency, NONE, rate, tickLabel } from '../../src/tokenfall/web/number_format.js';

/** Checks `format` on pairs of [value, expected text]. */
function reads(format, pairs) {
  for (const [value, figure] of pairs) assert.equal(format(value), figure, `${value}`);
}

test('a missing value is a dash, never a zero', () => {
  for (const format of [age, bytes, count, latency, rate]) {
    for (const nothing of [null, undefined, NaN, Infinity]) assert.equal(format(nothing), NONE);
  }
});

test('counts are exact', () => {
  reads(count, [[0, '0'], [7, '7'], [1234, '1,234'], [123_456_789, '123,456,789']]);
});

test('rates have one decimal until they have three digits', () => {
  reads(rate, [[0, '0'], [1 / 60, '0.02'], [1 / 3600, '0.0003'], [0.096, '0.1'], [3, '3.0']]);
  reads(rate, [[99.94, '99.9'], [99.96, '100'], [512.4, '512'], [10_240, '10,240']]);
  reads(rate, [[999_999, '999,999'], [999_999.6, '1.00 M']]);
  reads(rate, [[12_300_000, '12.3 M'], [2.5e9, '2.50 G'], [4e15, '4,000 T']]);
});

test('bytes are in powers of 1024, with three digits', () => {
  reads(bytes, [[0, '0 B'], [512.4, '512 B'], [999, '999 B']]);
  reads(bytes, [[1000, '0.977 KiB'], [1024, '1.00 KiB'], [10_240, '10.0 KiB']]);
  reads(bytes, [[24_000_000, '22.9 MiB'], [1023 * 1024, '1,023 KiB']]);
  reads(bytes, [[1023.6 * 1024, '1.00 MiB'], [5 * 2 ** 30, '5.00 GiB']]);
  reads(bytes, [[3 * 2 ** 50, '3,072 TiB']]);
});

test('latencies go from microseconds to seconds, and round into the next unit', () => {
  reads(latency, [[0, '0 s'], [0.000_000_4, '0.400 µs'], [0.000_456, '456 µs'], [0.000_999_4, '999 µs']]);
  reads(latency, [[0.000_999_6, '1.00 ms'], [0.0123, '12.3 ms']]);
  reads(latency, [[0.099_97, '100 ms'], [0.3, '300 ms'], [0.9996, '1.00 s']]);
  reads(latency, [[1.5, '1.50 s'], [32, '32.0 s'], [3600, '3,600 s']]);
});

test('an age has its two largest units, without a zero', () => {
  reads(age, [[0, '0 s'], [0.9, '0 s'], [45.9, '45 s']]);
  reads(age, [[60, '1 min'], [123.4, '2 min 3 s'], [3599, '59 min 59 s']]);
  reads(age, [[3600, '1 h'], [86_399, '23 h 59 min'], [273_600, '3 d 4 h'], [86_400 * 400, '400 d']]);
});

test('a tick label omits trailing zeros only', () => {
  reads(tickLabel, [['1.50 s', '1.5 s'], ['2.00 s', '2 s'], ['100 ms', '100 ms'], ['0 s', '0 s'], ['1,500', '1,500']]);
  reads(tickLabel, [['20.0', '20'], ['0.500 µs', '0.5 µs']]);
  reads(tickLabel, [['23.5 MiB', '23.5 MiB'], ['10.0 KiB', '10 KiB'], [NONE, NONE]]);
});
