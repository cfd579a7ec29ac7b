import assert from 'node:assert/strict';
import { test } from 'node:test';

import { describeEnd, endOf, stateOf, statusOfEnd, storedResponse } from '../../src/tokenfall/web/response_end.js';

test('a stored response is shown as stopped only if the server says so', () => {
  assert.equal(stateOf({}), 'complete');
  assert.equal(stateOf({ status: 'interrupted' }), 'interrupted'); // a record from before the reason was kept
  assert.equal(stateOf({ status: 'interrupted', end_code: 'upstream_reset' }), 'interrupted');
  assert.equal(stateOf({ status: 'interrupted', end_code: 'stopped' }), 'stopped');
});

test('the finish reason is read if it is present', () => {
  assert.deepEqual(endOf(null), { reason: '', tokens: 0, code: '' });
  assert.deepEqual(endOf({ finish_reason: 'stop', usage: null }), { reason: 'stop', tokens: 0, code: '' });
  assert.deepEqual(endOf({ finish_reason: 'length', usage: { completion_tokens: 9 } }), { reason: 'length', tokens: 9, code: '' });
  assert.deepEqual(endOf({ status: 'interrupted', end_code: 'upstream_reset' }), { reason: '', tokens: 0, code: 'upstream_reset' });
});

test('the stored response of a turn has its text, speed, time and duration of reasoning', () => {
  const message = { turn: 'b', role: 'assistant', content: 'Hi', model: 'm', created: 9, thought_s: 5, ttft_s: 1, finish_reason: 'stop' };
  const found = storedResponse([{ turn: 'b', role: 'user', content: 'Hi?' }, message], 'b');
  assert.deepEqual(found, {
    content: 'Hi', isStored: true, state: 'complete', model: 'm', pace: 'First token after 1.00 s', reason: 'stop', tokens: 0, code: '',
    reasoningS: 5, atS: 9,
  });
  assert.equal(storedResponse([message], 'a'), null);
});

for (const [state, end, words, status] of [
  ['complete', {}, /^$/, 'Complete'],
  ['complete', { reason: 'stop', tokens: 9 }, /^$/, 'Complete'],
  ['complete', { reason: 'length', tokens: 9 }, /^Stopped at the limit of 9 tokens$/, 'Stopped at the limit'],
  ['complete', { reason: 'length', tokens: 1 }, /^Stopped at the limit of 1 token$/, 'Stopped at the limit'],
  ['complete', { reason: 'length' }, /^Stopped at the token limit$/, 'Stopped at the limit'],
  ['complete', { reason: 'content_filter' }, /content filter/, 'Filtered'],
  ['complete', { reason: 'refusal' }, /^Refused by the model$/, 'Refused'],
  ['complete', { reason: 'tool_calls' }, /tool call/, 'Ended with a tool call'],
  ['stopped', { reason: 'length' }, /^Stopped$/, 'Stopped'],
  ['interrupted', {}, /^Interrupted$/, ''],
  ['interrupted', { code: 'interrupted' }, /^Interrupted$/, ''],
  ['interrupted', { code: 'upstream_failed' }, /^Interrupted\. The model failed$/, ''],
  ['interrupted', { code: 'turn_lost' }, /^Interrupted\. The server stopped during the response, which is not complete$/, ''],
  ['interrupted', { code: 'new_code' }, /^Interrupted\. The response ended early and is not complete$/, ''],
  ['stopped', { code: 'stopped' }, /^Stopped$/, 'Stopped'],
  ['failed', {}, /^Interrupted$/, ''],
]) {
  test(`the words of ${state} ${end.reason ?? ''} ${end.tokens ?? ''} ${end.code ?? ''}`, () => {
    assert.match(describeEnd(state, end), words);
    assert.equal(statusOfEnd(state, end), status);
  });
}
