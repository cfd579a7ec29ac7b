/** What only `@ai-sdk/openai-compatible` has, beside the cases of `ai_sdk.mjs`. */

import assert from 'node:assert/strict';

import { embed, embedMany, generateObject, generateText, streamText } from 'ai';
import { z } from 'zod';

import { compatible } from './ai_models.mjs';

export async function embeddings(at) {
  const model = compatible(at).textEmbeddingModel(at.model);
  const one = await embed({ model, value: 'one', maxRetries: 0 });
  const both = await embedMany({ model, values: ['one', 'two'], maxRetries: 0 });
  assert.equal(one.embedding.length, 1536);
  assert.deepEqual(both.embeddings[0], one.embedding);
  assert.notDeepEqual(both.embeddings[1], one.embedding);
  assert.equal(both.usage.tokens, 2);
}

export async function legacy_completions(at) {
  const question = { model: compatible(at).completionModel(at.model), prompt: 'Once', maxRetries: 0, maxOutputTokens: 7 };
  const whole = await generateText(question);
  assert.equal(whole.finishReason, 'length');
  assert.equal(whole.usage.outputTokens, 7);
  assert.equal(await streamText(question).text, whole.text);
}

export async function schemaless_object(at) {
  const options = { model: compatible(at)(at.model), prompt: 'Why?', maxRetries: 0 };
  const { object } = await generateObject({ ...options, output: 'no-schema' });
  assert.equal(typeof object, 'object');
  const chosen = await generateObject({ ...options, output: 'enum', enum: ['rain', 'sun'] });
  assert.ok(['rain', 'sun'].includes(chosen.object));
  const { object: list } = await generateObject({ ...options, output: 'array', schema: z.string() });
  assert.ok(Array.isArray(list));
}
