/** Where a long question is folded. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { foldOf } from '../../src/tokenfall/web/folding.js';

const lines = (count) => Array.from({ length: count }, (_, n) => `line ${n}`).join('\n');

test('what is short is not folded', () => {
  for (const text of ['', 'one', 'x'.repeat(4000), lines(40)]) assert.equal(foldOf(text), text.length);
});

test('of many lines the first twelve are shown', () => {
  assert.equal(lines(41).slice(0, foldOf(lines(41))), lines(12));
  assert.equal(foldOf('\n'.repeat(100)), 11);
});

test('of long lines the first characters are shown, and no half of one', () => {
  assert.equal(foldOf('x'.repeat(100_000)), 1200);
  assert.equal(foldOf(`${'x'.repeat(1199)}😀${'x'.repeat(5000)}`), 1199);
  assert.equal(foldOf(`a\n${'x'.repeat(5000)}\nb`), 1200);
  assert.equal(foldOf(`${'x'.repeat(700)}\n`.repeat(50)), 1200);
});
