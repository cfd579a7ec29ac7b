import assert from 'node:assert/strict';
import { test } from 'node:test';

import { thresholdsOf } from '../../src/tokenfall/web/thresholds.js';

test('thresholds are in the units of their plots', () => {
  const { values, mistakes } = thresholdsOf('?ttft=1.5s&inter_token=50ms&ticker_late=125us&memory=1GiB&streams=100&errors=0.5');
  assert.deepEqual(values, { ttft: 1.5, inter_token: 0.05, ticker_late: 125e-6, memory: 1024, streams: 100, errors: 0.5 });
  assert.equal(mistakes, '');
  assert.deepEqual(thresholdsOf(''), { values: {}, mistakes: '' });
});

test('an unknown threshold is reported with the valid names, and the others apply', () => {
  const { values, mistakes } = thresholdsOf('?ttft=1s&cpu=5&constructor=1');
  assert.deepEqual(values, { ttft: 1 });
  assert.match(mistakes, /^There is no threshold cpu; there are ttft, inter_token, .*memory\. There is no threshold constructor/);
});

test('an invalid value is reported with the accepted format', () => {
  for (const text of ['', '5', '0s', '-1s', '1 s', '1h', 'soon', '1toString']) {
    const { values, mistakes } = thresholdsOf(`?ttft=${text}`);
    assert.deepEqual(values, {}, text);
    assert.match(mistakes, /^The threshold ttft takes a time such as 500ms or 2s, not /, text);
  }
  assert.match(thresholdsOf('?memory=5').mistakes, /takes a size such as 64MiB, not 5\./);
  assert.match(thresholdsOf('?streams=5s').mistakes, /takes a number, not 5s\./);
});
