import assert from 'node:assert/strict';
import { test } from 'node:test';

import { reasoningLabel } from '../../src/tokenfall/web/reasoning.js';
import { tokensOf } from '../../src/tokenfall/web/stream.js';

test('thinking time is shown in seconds, then in minutes', () => {
  assert.deepEqual([0.02, 1.4, 59, 61, 150].map(reasoningLabel), [
    'Thought for 1 s', 'Thought for 1 s', 'Thought for 59 s', 'Thought for 1 min', 'Thought for 3 min',
  ]);
  assert.equal(reasoningLabel(NaN), 'Reasoning');
});

test('reasoning and the end are separate events without a number', async () => {
  const frames = [
    'event: reasoning\ndata: {"content":"Hm"}\n\n',
    'event: reasoning\ndata: {"content":7}\n\n',
    'id: 1\ndata: {"content":"Hi"}\n\n',
    'event: end\ndata: {"finish_reason":"length"}\n\n',
    'data: [DONE]\n\n',
  ];
  const response = new Response(frames.join(''), { headers: { 'Content-Type': 'text/event-stream' } });
  const tokens = [];
  for await (const each of tokensOf(response, new AbortController().signal)) tokens.push(each);
  assert.deepEqual(tokens, [{ reasoning: 'Hm' }, { reasoning: '' }, { text: 'Hi', id: '1' }, { end: { finish_reason: 'length' } }]);
});
