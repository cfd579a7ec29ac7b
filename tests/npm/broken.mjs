/**
 * Streams that the upstream breaks after two tokens: the client must raise an error and must not report a normal end.
 *
 * `code` is undefined if the relay passes the stream through without decoding it; then the client detects the error.
 */

import assert from 'node:assert/strict';

import { streamText } from 'ai';
import OpenAI, { APIError, OpenAIError } from 'openai';

import { all, thrown } from './asserting.mjs';
import { model } from './ai_models.mjs';

const messages = [{ role: 'user', content: 'Why?' }];

function client(at) {
  return new OpenAI({ baseURL: at.url, apiKey: at.key, maxRetries: 0 });
}

export async function openai_stream(at) {
  const stream = await client(at).chat.completions.create({ model: at.model, messages, stream: true });
  const chunks = [];
  const error = await thrown(async () => {
    for await (const chunk of stream) chunks.push(chunk);
  });
  assert.ok(at.code ? error instanceof APIError : error instanceof SyntaxError, error);
  assert.equal(error.code, at.code);
  assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content).join(''), 'Hello');
  assert.ok(chunks.every((chunk) => chunk.choices[0].finish_reason === null));
}

export async function openai_stream_helper(at) {
  const stream = client(at).chat.completions.stream({ model: at.model, messages });
  const ended = [];
  stream.on('finalChatCompletion', (completion) => ended.push(completion));
  const error = await thrown(() => stream.finalChatCompletion());
  assert.ok(error instanceof OpenAIError, error);
  assert.equal(error.code, at.code);
  assert.deepEqual(ended, []);
}

async function with_ai(at) {
  const errors = [];
  const finished = [];
  const result = streamText({
    model: model(at),
    prompt: 'Why?',
    maxRetries: 0,
    onError: ({ error }) => errors.push(error),
    onFinish: (event) => finished.push(event.finishReason),
  });
  const parts = await all(result.fullStream);
  assert.equal(parts.filter((part) => part.type === 'text-delta').map((part) => part.text).join(''), 'Hello');
  assert.equal(errors.length, 1);
  const reasons = parts.filter((part) => part.type === 'finish').map((part) => part.finishReason);
  assert.ok([...reasons, ...finished].every((reason) => reason === 'error' || reason === 'unknown'), reasons.join());
}

export async function ai_compatible(at) {
  await with_ai({ ...at, provider: 'compatible' });
}

export async function ai_anthropic(at) {
  await with_ai({ ...at, provider: 'anthropic' });
}
