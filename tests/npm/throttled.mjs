/** A server with a burst of one request: each SDK retries after the time in `Retry-After`. */

import assert from 'node:assert/strict';

import { generateText, streamText } from 'ai';
import OpenAI, { RateLimitError } from 'openai';

import { noting, thrown } from './asserting.mjs';
import { model } from './ai_models.mjs';

const messages = [{ role: 'user', content: 'Why?' }];

export async function openai(at) {
  const statuses = [];
  const client = new OpenAI({ baseURL: at.url, apiKey: at.key, fetch: noting(statuses), maxRetries: 0 });
  const request = { model: at.model, messages, max_tokens: 2 };
  await client.chat.completions.create(request);
  const error = await thrown(() => client.chat.completions.create(request));
  assert.ok(error instanceof RateLimitError);
  assert.equal(error.code, 'rate_limit_exceeded');
  assert.ok(Number(error.headers.get('retry-after')) >= 1);
  const final = await client.chat.completions.stream(request, { maxRetries: 2 }).finalChatCompletion();
  assert.equal(final.choices[0].finish_reason, 'length');
  assert.deepEqual(statuses, [200, 429, 429, 200]);
}

async function with_ai(at) {
  const statuses = [];
  const question = { model: model({ ...at, fetch: noting(statuses) }), prompt: 'Why?', maxOutputTokens: 2 };
  await generateText({ ...question, maxRetries: 0 });
  const result = streamText({ ...question, maxRetries: 1 });
  assert.equal(await result.finishReason, 'length');
  assert.deepEqual(statuses, [200, 429, 200]);
  const error = await thrown(() => generateText({ ...question, maxRetries: 0 }));
  assert.equal(error.statusCode, 429);
  assert.equal(error.isRetryable, true);
  assert.ok(Number(error.responseHeaders['retry-after']) >= 1);
}

export async function ai_compatible(at) {
  await with_ai({ ...at, provider: 'compatible' });
}

export async function ai_anthropic(at) {
  await with_ai({ ...at, provider: 'anthropic' });
}
