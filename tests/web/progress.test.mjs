import assert from 'node:assert/strict';
import { test } from 'node:test';

import { wordsOfSilence } from '../../src/tokenfall/web/progress.js';

test('the first token is waited for, and seconds are counted from the first on', () => {
  assert.equal(wordsOfSilence(999, { isBegun: false }), '');
  assert.equal(wordsOfSilence(1000, { isBegun: false }), 'Waiting for the first token… 1 s');
  assert.equal(wordsOfSilence(61_900, { isBegun: false }), 'Waiting for the first token… 61 s');
});

test('a response that has begun stalls after five seconds', () => {
  assert.equal(wordsOfSilence(4999, { isBegun: true }), '');
  assert.equal(wordsOfSilence(5000, { isBegun: true }), 'No new token for 5 s');
});
