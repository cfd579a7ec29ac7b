import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fullTime, shortTime } from '../../src/tokenfall/web/timestamps.js';

const NOW = new Date(2026, 10, 29, 15, 0); // local time
const at = (...date) => new Date(...date).getTime() / 1000;
const short = (atS) => shortTime(atS, NOW, 'en-GB');

test('a time of today has no date', () => assert.match(short(at(2026, 10, 29, 0, 5)), /^0?0:05$/));

test('another day has its date, and another year the year', () => {
  assert.equal(short(at(2026, 10, 28, 14, 5)), '28 Nov, 14:05');
  assert.equal(short(at(2025, 10, 29, 14, 5)), '29 Nov 2025, 14:05');
});

test('the full time has the weekday and the seconds', () => {
  assert.match(fullTime(at(2026, 10, 28, 14, 5, 9), 'en-GB'), /^Saturday.? 28 November 2026 at 14:05:09$/);
});
