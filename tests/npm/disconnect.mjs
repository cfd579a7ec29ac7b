/** Endless streams: a disconnect ends the stream on every server that takes part. */

import assert from 'node:assert/strict';

import { streamText } from 'ai';
import OpenAI, { APIUserAbortError } from 'openai';

import { playing, thrown } from './asserting.mjs';
import { model } from './ai_models.mjs';

const messages = [{ role: 'user', content: 'Why?' }];

function client(at) {
  return new OpenAI({ baseURL: at.url, apiKey: at.key, maxRetries: 0 });
}

export async function openai_aborts_a_chat(at) {
  const controller = new AbortController();
  const request = { model: at.model, messages, stream: true };
  const stream = await client(at).chat.completions.create(request, { signal: controller.signal });
  let heard = 0;
  for await (const chunk of stream) {
    heard += chunk.choices[0].delta.content ? 1 : 0;
    if (heard === 3 && !controller.signal.aborted) {
      await playing(at.servers, 1);
      controller.abort();
    }
  }
  assert.ok(heard >= 3);
  await playing(at.servers, 0);
}

export async function openai_aborts_a_response(at) {
  const controller = new AbortController();
  const request = { model: at.model, input: 'Why?', stream: true };
  const stream = await client(at).responses.create(request, { signal: controller.signal });
  const kinds = [];
  for await (const event of stream) {
    kinds.push(event.type);
    if (event.type === 'response.output_text.delta' && !controller.signal.aborted) {
      await playing(at.servers, 1);
      controller.abort();
    }
  }
  assert.ok(controller.signal.aborted && !kinds.includes('response.completed'));
  await playing(at.servers, 0);
}

export async function openai_aborts_its_stream_helper(at) {
  const stream = client(at).chat.completions.stream({ model: at.model, messages });
  await new Promise((resolve) => stream.once('content', resolve));
  await playing(at.servers, 1);
  stream.abort();
  assert.ok((await thrown(() => stream.finalChatCompletion())) instanceof APIUserAbortError);
  await playing(at.servers, 0);
}

export async function openai_breaks_out_of_the_loop(at) {
  const stream = await client(at).chat.completions.create({ model: at.model, messages, stream: true });
  for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    await playing(at.servers, 1);
    break;
  }
  await playing(at.servers, 0);
}

async function with_ai(at) {
  const controller = new AbortController();
  const result = streamText({ model: model(at), prompt: 'Why?', maxRetries: 0, abortSignal: controller.signal });
  const kinds = [];
  for await (const part of result.fullStream) {
    kinds.push(part.type);
    if (part.type === 'text-delta' && !controller.signal.aborted) {
      await playing(at.servers, 1);
      controller.abort();
    }
  }
  assert.ok(kinds.includes('abort') && !kinds.includes('finish'), kinds.join());
  await playing(at.servers, 0);
}

export async function ai_compatible_aborts(at) {
  await with_ai({ ...at, provider: 'compatible' });
}

export async function ai_anthropic_aborts(at) {
  await with_ai({ ...at, provider: 'anthropic' });
}
