/** The package `openai`. Each export is a case; `test_npm.py` describes its argument. */

import assert from 'node:assert/strict';

import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { all, thrown, words } from './asserting.mjs';

const messages = [{ role: 'user', content: 'Why do tokens fall?' }];
const asking = [{ role: 'user', content: 'Ask get_weather and get_time, please.' }];
const Answer = z.object({ title: z.string(), tags: z.array(z.enum(['a', 'b'])).min(1), score: z.number().int() });
const Place = z.object({ city: z.string(), days: z.number().int() });
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
  additionalProperties: false,
};
const tools = ['get_weather', 'get_time'].map((name) => ({ type: 'function', function: { name, parameters } }));

function client({ url, key }, more = {}) {
  return new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0, ...more });
}

export async function complete_chat(at) {
  const completion = await client(at).chat.completions.create({ model: at.model, messages });
  const [choice] = completion.choices;
  assert.equal(choice.finish_reason, 'stop');
  assert.equal(choice.message.role, 'assistant');
  assert.equal(completion.model, at.model);
  assert.equal(completion.usage.prompt_tokens, 4);
  assert.equal(completion.usage.completion_tokens, words(choice.message.content));
  assert.equal(completion.usage.total_tokens, completion.usage.completion_tokens + 4);
  assert.ok(completion._request_id);
}

export async function streamed_chat_has_the_same_text_one_token_per_chunk(at) {
  const openai = client(at);
  const whole = await openai.chat.completions.create({ model: at.model, messages });
  const request = { model: at.model, messages, stream: true, stream_options: { include_usage: true } };
  const chunks = await all(await openai.chat.completions.create(request));
  const pieces = chunks.map((chunk) => chunk.choices[0]?.delta.content).filter(Boolean);
  assert.equal(pieces.join(''), whole.choices[0].message.content);
  assert.equal(pieces.length, whole.usage.completion_tokens);
  const reasons = chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
  assert.deepEqual(reasons, ['stop']);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.deepEqual(chunks.at(-1).usage, whole.usage);
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
}

export async function stream_without_usage_has_none(at) {
  const chunks = await all(await client(at).chat.completions.create({ model: at.model, messages, stream: true }));
  assert.ok(chunks.every((chunk) => !chunk.usage && chunk.choices.length === 1));
}

export async function limited_response_ends_by_length(at) {
  const openai = client(at);
  const request = { model: at.model, messages, max_completion_tokens: 5 };
  const whole = await openai.chat.completions.create(request);
  assert.equal(whole.choices[0].finish_reason, 'length');
  assert.equal(whole.usage.completion_tokens, 5);
  const final = await openai.chat.completions.stream(request).finalChatCompletion();
  assert.equal(final.choices[0].finish_reason, 'length');
  assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
}

export async function stop_several_choices_and_logprobs(at) {
  const openai = client(at);
  const request = { model: at.model, messages, n: 2, max_tokens: 6, logprobs: true, top_logprobs: 2 };
  const { choices, usage } = await openai.chat.completions.create(request);
  assert.deepEqual(choices.map((choice) => choice.index), [0, 1]);
  assert.equal(choices[1].logprobs.content.length, 6);
  assert.equal(choices[1].logprobs.content[0].top_logprobs.length, 2);
  assert.equal(usage.completion_tokens, 12);
  const final = await openai.chat.completions.stream(request).finalChatCompletion();
  assert.deepEqual(final.choices.map((choice) => choice.message.content), choices.map((each) => each.message.content));
  assert.equal(final.choices[1].logprobs.content.length, 6);
  const third = choices[0].message.content.split(' ')[2];
  const stopped = await openai.chat.completions.create({ model: at.model, messages, stop: third });
  assert.equal(stopped.choices[0].finish_reason, 'stop');
  assert.equal(stopped.usage.completion_tokens, 2);
}

export async function tool_calls(at) {
  const request = { model: at.model, messages: asking, tools, tool_choice: 'required' };
  const [choice] = (await client(at).chat.completions.create(request)).choices;
  assert.equal(choice.finish_reason, 'tool_calls');
  assert.deepEqual(choice.message.tool_calls.map((call) => call.function.name), ['get_weather', 'get_time']);
  for (const call of choice.message.tool_calls) Place.strict().parse(JSON.parse(call.function.arguments));
  const one = await client(at).chat.completions.create({ ...request, parallel_tool_calls: false });
  assert.equal(one.choices[0].message.tool_calls.length, 1);
}

export async function stream_helper_assembles_tool_calls(at) {
  const stream = client(at).chat.completions.stream({ model: at.model, messages: asking, tools });
  const pieces = [];
  const done = [];
  stream.on('tool_calls.function.arguments.delta', (event) => pieces.push(event.arguments_delta));
  stream.on('tool_calls.function.arguments.done', (event) => done.push(event));
  const { choices } = await stream.finalChatCompletion();
  const calls = choices[0].message.tool_calls;
  assert.equal(choices[0].finish_reason, 'tool_calls');
  assert.deepEqual(done.map((event) => event.name), ['get_weather', 'get_time']);
  assert.equal(new Set(calls.map((call) => call.id)).size, 2);
  assert.equal(pieces.join(''), calls.map((call) => call.function.arguments).join(''));
  for (const call of calls) Place.strict().parse(JSON.parse(call.function.arguments));
}

async function runs_tools(at, stream) {
  const asked = [];
  const runnable = tools.map((tool) => ({
    type: 'function',
    function: {
      ...tool.function,
      parse: JSON.parse,
      function: (place) => {
        asked.push(Place.parse(place));
        return 'Sunny.';
      },
    },
  }));
  const runner = client(at).chat.completions.runTools({ model: at.model, messages: asking, tools: runnable, stream });
  assert.ok(words(await runner.finalContent()) > 5);
  assert.equal(asked.length, 2);
  assert.deepEqual(runner.messages.map(({ role }) => role), ['user', 'assistant', 'tool', 'tool', 'assistant']);
  assert.equal((await runner.finalChatCompletion()).choices[0].finish_reason, 'stop');
}

export async function tool_runner_ends_with_text(at) {
  await runs_tools(at, false);
}

export async function streamed_tool_runner_ends_with_text(at) {
  await runs_tools(at, true);
}

export async function structured_output(at) {
  const openai = client(at);
  const request = { model: at.model, messages, response_format: zodResponseFormat(Answer, 'answer') };
  const whole = await openai.chat.completions.parse(request);
  Answer.parse(whole.choices[0].message.parsed);
  const streamed = await openai.chat.completions.stream(request).finalChatCompletion();
  assert.deepEqual(streamed.choices[0].message.parsed, whole.choices[0].message.parsed);
  const loose = { model: at.model, messages, response_format: { type: 'json_object' } };
  JSON.parse((await openai.chat.completions.create(loose)).choices[0].message.content);
}

export async function reasoning_content(at) {
  const request = { model: at.model, messages, reasoning_effort: 'high' };
  const [choice] = (await client(at).chat.completions.create(request)).choices;
  assert.ok(words(choice.message.reasoning_content) > 5);
  const chunks = await all(await client(at).chat.completions.create({ ...request, stream: true }));
  const said = (field) => chunks.map((chunk) => chunk.choices[0].delta[field] ?? '').join('');
  assert.equal(said('reasoning_content'), choice.message.reasoning_content);
  assert.equal(said('content'), choice.message.content);
}

export async function legacy_completions(at) {
  const request = { model: at.model, prompt: 'Once upon a time', max_tokens: 7 };
  const whole = await client(at).completions.create(request);
  assert.equal(whole.choices[0].finish_reason, 'length');
  assert.equal(whole.usage.completion_tokens, 7);
  const chunks = await all(await client(at).completions.create({ ...request, stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), whole.choices[0].text);
}

export async function embeddings_as_base64_equal_the_floats(at) {
  const openai = client(at);
  const request = { model: at.model, input: ['one', 'two', 'one'] };
  const byDefault = await openai.embeddings.create(request);
  const floats = await openai.embeddings.create({ ...request, encoding_format: 'float' });
  const raw = await openai.embeddings.create({ ...request, encoding_format: 'base64' });
  assert.equal(typeof raw.data[0].embedding, 'string');
  assert.deepEqual(byDefault.data.map((each) => each.index), [0, 1, 2]);
  assert.equal(byDefault.data[0].embedding.length, 1536);
  for (const [number, { embedding }] of byDefault.data.entries()) {
    assert.deepEqual([...embedding], floats.data[number].embedding.map(Math.fround));
  }
  assert.deepEqual(byDefault.data[0].embedding, byDefault.data[2].embedding);
  assert.notDeepEqual(byDefault.data[0].embedding, byDefault.data[1].embedding);
  assert.deepEqual(byDefault.usage, { prompt_tokens: 3, total_tokens: 3 });
  const short = await openai.embeddings.create({ ...request, input: 'one', dimensions: 8 });
  assert.equal(short.data[0].embedding.length, 8);
}

export async function models_are_listed(at) {
  const openai = client(at);
  const listed = await all(openai.models.list());
  assert.ok(listed.some((model) => model.id === 'sim' && model.object === 'model' && model.created > 0));
  assert.equal((await openai.models.retrieve('sim')).id, 'sim');
  if (at.model === 'sim') {  // without an upstream every name is the simulator's
    assert.equal((await openai.models.retrieve('nobody')).id, 'nobody');
    return;
  }
  const error = await thrown(() => openai.models.retrieve('nobody'));
  assert.ok(error instanceof NotFoundError);
  assert.equal(error.code, 'model_not_found');
}

export async function complete_response(at) {
  const response = await client(at).responses.create({ model: at.model, input: 'Why do tokens fall?' });
  assert.equal(response.status, 'completed');
  assert.equal(response.usage.output_tokens, words(response.output_text));
  assert.equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens);
  const cut = await client(at).responses.create({ model: at.model, input: 'Why?', max_output_tokens: 16 });
  assert.equal(cut.status, 'incomplete');
  assert.equal(cut.incomplete_details.reason, 'max_output_tokens');
}

export async function streamed_response_has_the_same_text(at) {
  const openai = client(at);
  const request = { model: at.model, input: 'Why do tokens fall?' };
  const whole = await openai.responses.create(request);
  const events = await all(await openai.responses.create({ ...request, stream: true }));
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  assert.deepEqual([events[0].type, events.at(-1).type], ['response.created', 'response.completed']);
  const deltas = events.filter((event) => event.type === 'response.output_text.delta');
  assert.equal(deltas.length, whole.usage.output_tokens);
  assert.equal(deltas.map((event) => event.delta).join(''), whole.output_text);
  const final = await openai.responses.stream(request).finalResponse();
  assert.equal(final.output_text, whole.output_text);
  assert.deepEqual(final.usage, whole.usage);
}

export async function responses_with_tools_end_with_text(at) {
  const openai = client(at);
  const flat = tools.map((tool) => ({ type: 'function', strict: true, ...tool.function }));
  const input = [...asking];
  const first = await openai.responses.stream({ model: at.model, input, tools: flat }).finalResponse();
  const calls = first.output.filter((item) => item.type === 'function_call');
  assert.deepEqual(calls.map((call) => call.name), ['get_weather', 'get_time']);
  for (const call of calls) {
    Place.strict().parse(JSON.parse(call.arguments));
    input.push(call, { type: 'function_call_output', call_id: call.call_id, output: 'Sunny.' });
  }
  const second = await openai.responses.stream({ model: at.model, input, tools: flat }).finalResponse();
  assert.equal(second.status, 'completed');
  assert.ok(words(second.output_text) > 5);
}

export async function responses_with_structured_output(at) {
  const text = { format: zodTextFormat(Answer, 'answer') };
  const parsed = await client(at).responses.parse({ model: at.model, input: 'Why?', text });
  Answer.parse(parsed.output_parsed);
  const streamed = await client(at).responses.stream({ model: at.model, input: 'Why?', text }).finalResponse();
  assert.deepEqual(streamed.output_parsed, parsed.output_parsed);
}

export async function responses_with_reasoning(at) {
  const request = { model: at.model, input: 'Why?', reasoning: { effort: 'high', summary: 'auto' } };
  const stream = client(at).responses.stream(request);
  const kinds = (await all(stream)).map((event) => event.type);
  const final = await stream.finalResponse();
  assert.deepEqual(final.output.map((item) => item.type), ['reasoning', 'message']);
  assert.ok(kinds.some((kind) => kind.startsWith('response.reasoning')), [...new Set(kinds)].join());
}

export async function bad_request_names_the_field(at) {
  const openai = client(at);
  for (const stream of [false, true]) {
    const error = await thrown(() => openai.chat.completions.create({ model: at.model, messages, stream, n: 0 }));
    assert.ok(error instanceof BadRequestError, error);
    assert.equal(error.param, 'n');
    assert.equal(error.type, 'invalid_request_error');
    assert.ok(error.code);
    assert.ok(error.requestID);
  }
  const error = await thrown(() => openai.responses.create({ model: at.model, input: 'Why?', max_output_tokens: 0 }));
  assert.ok(error instanceof BadRequestError, error);
  assert.equal(error.param, 'max_output_tokens');
  const helper = openai.chat.completions.stream({ model: at.model, messages, n: 0 });
  assert.ok((await thrown(() => helper.finalChatCompletion())) instanceof BadRequestError);
}

export async function wrong_key_is_refused(at) {
  const openai = client(at, { apiKey: 'wrong' });
  const asks = [
    () => openai.chat.completions.create({ model: at.model, messages }),
    () => openai.chat.completions.create({ model: at.model, messages, stream: true }),
    () => openai.responses.create({ model: at.model, input: 'Why?', stream: true }),
    () => openai.embeddings.create({ model: at.model, input: 'Why?' }),
    () => openai.models.list(),
  ];
  for (const ask of asks) {
    const error = await thrown(ask);
    assert.ok(error instanceof AuthenticationError, error);
    assert.equal(error.code, 'invalid_api_key');
  }
}
