import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silenceLabel } from '../../src/tokenfall/web/stall_indicator.js';

test('waiting for the first token shows the elapsed seconds', () => {
  assert.equal(silenceLabel(999, { isBegun: false }), '');
  assert.equal(silenceLabel(1000, { isBegun: false }), 'Waiting for the first token… 1 s');
  assert.equal(silenceLabel(61_900, { isBegun: false }), 'Waiting for the first token… 61 s');
});

test('a started response is shown as stalled after five seconds', () => {
  assert.equal(silenceLabel(4999, { isBegun: true }), '');
  assert.equal(silenceLabel(5000, { isBegun: true }), 'No new token for 5 s');
});
