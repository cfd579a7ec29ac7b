/** The folding of long questions. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { previewLength } from '../../src/tokenfall/web/collapsible_text.js';

const lines = (count) => Array.from({ length: count }, (_, n) => `line ${n}`).join('\n');

test('a short text is not folded', () => {
  for (const text of ['', 'one', 'x'.repeat(4000), lines(40)]) assert.equal(previewLength(text), text.length);
});

test('a text with many lines shows the first twelve', () => {
  assert.equal(lines(41).slice(0, previewLength(lines(41))), lines(12));
  assert.equal(previewLength('\n'.repeat(100)), 11);
});

test('a text with long lines shows the first characters and no lone surrogate', () => {
  assert.equal(previewLength('x'.repeat(100_000)), 1200);
  assert.equal(previewLength(`${'x'.repeat(1199)}😀${'x'.repeat(5000)}`), 1199);
  assert.equal(previewLength(`a\n${'x'.repeat(5000)}\nb`), 1200);
  assert.equal(previewLength(`${'x'.repeat(700)}\n`.repeat(50)), 1200);
});
