/** The package `ai`: each export is a case for both `@ai-sdk/openai-compatible` and `@ai-sdk/anthropic`. */

import assert from 'node:assert/strict';

import { APICallError, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from 'ai';
import { z } from 'zod';

import { all, thrown, words } from './asserting.mjs';
import { model, thinking } from './ai_models.mjs';

const prompt = 'Why do tokens fall?';
const Answer = z.object({ title: z.string(), tags: z.array(z.enum(['a', 'b'])).min(1), score: z.number().int() });
const Place = z.object({ city: z.string(), days: z.number().int() });

/** An asked question, without retries and without errors on the console. */
function question(at, more = {}) {
  return { model: model(at), prompt, maxRetries: 0, ...more };
}

function streamed(at, more = {}) {
  return streamText({ onError: () => {}, ...question(at, more) });
}

/** Two tools, and what they were asked. */
function tooled() {
  const asked = [];
  const execute = (place) => {
    asked.push(place);
    return { said: 'Sunny.' };
  };
  const each = tool({ description: 'What it is like there', inputSchema: Place.strict(), execute });
  return { asked, tools: { get_weather: each, get_time: each } };
}

export async function complete_text(at) {
  const result = await generateText(question(at, { maxOutputTokens: 500 })); // said, or Anthropic's warns
  assert.equal(result.finishReason, 'stop');
  assert.equal(result.usage.inputTokens, 4);
  assert.equal(result.usage.outputTokens, words(result.text));
  assert.equal(result.response.modelId, at.model);
  assert.deepEqual(result.warnings, []);
}

export async function streamed_text_is_the_same_one_token_per_chunk(at) {
  const whole = await generateText(question(at));
  const result = streamed(at);
  const pieces = await all(result.textStream);
  assert.equal(pieces.join(''), whole.text);
  assert.equal(pieces.length, whole.usage.outputTokens);
  assert.equal(await result.finishReason, 'stop');
  const usage = await result.usage;
  assert.equal(usage.inputTokens, whole.usage.inputTokens);
  assert.equal(usage.outputTokens, whole.usage.outputTokens);
}

export async function limited_response_ends_by_length(at) {
  const whole = await generateText(question(at, { maxOutputTokens: 5 }));
  assert.equal(whole.finishReason, 'length');
  assert.equal(whole.usage.outputTokens, 5);
  const result = streamed(at, { maxOutputTokens: 5 });
  assert.equal(await result.text, whole.text);
  assert.equal(await result.finishReason, 'length');
}

export async function tool_steps_end_with_text(at) {
  const { asked, tools } = tooled();
  const asks = { prompt: 'Ask get_weather and get_time.', tools, stopWhen: stepCountIs(4) };
  const result = await generateText(question(at, asks));
  assert.deepEqual(result.steps.map((step) => step.finishReason), ['tool-calls', 'stop']);
  assert.deepEqual(result.steps[0].toolCalls.map((call) => call.toolName), ['get_weather', 'get_time']);
  assert.equal(asked.length, 2);
  assert.ok(words(result.text) > 5);
}

export async function streamed_tool_steps_end_with_text(at) {
  const { asked, tools } = tooled();
  const asks = { prompt: 'Ask get_weather and get_time.', tools, stopWhen: stepCountIs(4) };
  const result = streamed(at, asks);
  const kinds = (await all(result.fullStream)).map((part) => part.type);
  const steps = await result.steps;
  assert.deepEqual(steps.map((step) => step.finishReason), ['tool-calls', 'stop']);
  assert.deepEqual(steps[0].toolCalls.map((call) => call.toolName), ['get_weather', 'get_time']);
  assert.equal(new Set(steps[0].toolCalls.map((call) => call.toolCallId)).size, 2);
  assert.equal(asked.length, 2);
  assert.ok(kinds.filter((kind) => kind === 'tool-input-delta').length > 2, kinds.join());
  assert.ok(!kinds.includes('error') && !kinds.includes('tool-error'), kinds.join());
  assert.ok(words(await result.text) > 5);
  const [first, second] = steps.map((step) => step.usage.outputTokens);
  assert.equal((await result.totalUsage).outputTokens, first + second);
}

export async function tool_without_input(at) {
  const now = tool({ inputSchema: z.object({}), execute: () => 'noon' });
  const asks = { prompt: 'now', tools: { now }, toolChoice: 'required' };
  for (const steps of [(await generateText(question(at, asks))).steps, await streamed(at, asks).steps]) {
    assert.deepEqual(steps[0].toolCalls.map((call) => call.input), [{}]);
  }
}

export async function structured_output(at) {
  const whole = await generateObject(question(at, { schema: Answer }));
  Answer.parse(whole.object);
  assert.ok(whole.usage.outputTokens > 0);
  const streaming = streamObject({ ...question(at, { schema: Answer }), onError: () => {} });
  const partial = await all(streaming.partialObjectStream);
  assert.deepEqual(await streaming.object, whole.object);
  assert.deepEqual(partial.at(-1), whole.object);
  assert.ok(partial.length > 2);
}

export async function reasoning_comes_before_the_text(at) {
  const asks = { providerOptions: thinking(at), maxOutputTokens: 4000 };
  const whole = await generateText(question(at, asks));
  assert.ok(words(whole.reasoningText) > 5);
  const result = streamed(at, asks);
  const kinds = (await all(result.fullStream)).map((part) => part.type);
  assert.equal(await result.reasoningText, whole.reasoningText);
  assert.equal(await result.text, whole.text);
  assert.ok(kinds.lastIndexOf('reasoning-delta') < kinds.indexOf('text-delta'));
  assert.ok(kinds.includes('reasoning-end'));
}

export async function reasoning_is_kept_through_tool_steps(at) {
  const { asked, tools } = tooled();
  const asks = { prompt: 'Ask get_time.', tools, stopWhen: stepCountIs(4), maxOutputTokens: 4000 };
  const result = streamed(at, { ...asks, providerOptions: thinking(at) });
  const steps = await result.steps;
  assert.deepEqual(steps.map((step) => step.finishReason), ['tool-calls', 'stop']);
  assert.equal(asked.length, 1);
  assert.ok(words(steps[0].reasoningText) > 5);
  assert.ok(words(await result.text) > 5);
}

export async function bad_request_is_an_error(at) {
  const asks = { temperature: 7, topP: 7 };
  const error = await thrown(() => generateText(question(at, asks)));
  assert.ok(APICallError.isInstance(error), error);
  assert.equal(error.statusCode, 400);
  assert.equal(error.isRetryable, false);
  assert.equal(error.data.error.type, 'invalid_request_error');
  assert.match(error.message, at.provider === 'anthropic' ? /top_p|temperature/ : /temperature/);
  if (at.provider === 'compatible') assert.equal(error.data.error.param, 'temperature');
  const errors = [];
  const result = streamed(at, { ...asks, onError: (event) => errors.push(event.error) });
  const kinds = (await all(result.fullStream)).map((part) => part.type);
  assert.ok(kinds.includes('error') && !kinds.includes('text-delta'), kinds.join());
  assert.equal(errors[0].statusCode, 400);
}

export async function wrong_key_is_refused(at) {
  const wrong = { ...at, key: 'wrong' };
  const error = await thrown(() => generateText(question(wrong)));
  assert.ok(APICallError.isInstance(error), error);
  assert.equal(error.statusCode, 401);
  assert.equal(error.isRetryable, false);
  const parts = await all(streamed(wrong).fullStream);
  assert.equal(parts.find((part) => part.type === 'error').error.statusCode, 401);
}
