/** The models of `ai`: `at.provider` says whose dialect they speak. */

import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';

export function compatible({ url, key, fetch }) {
  const options = { includeUsage: true, supportsStructuredOutputs: true };
  return createOpenAICompatible({ name: 'tokenfall', baseURL: url, apiKey: key, fetch, ...options });
}

/** The model that `at` names. */
export function model(at) {
  if (at.provider === 'compatible') return compatible(at)(at.model);
  return createAnthropic({ baseURL: at.url, apiKey: at.key, fetch: at.fetch })(at.model);
}

/** What makes the model think. */
export function thinking({ provider }) {
  if (provider === 'compatible') return { tokenfall: { reasoningEffort: 'high' } };
  return { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } };
}
