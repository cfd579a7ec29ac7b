/**
 * How a response ended, as text: from the server's history, and from the stream's `end` event.
 *
 * Pure: it must never touch the DOM, or call an incomplete response complete.
 */

import { Failure } from './failures.js';
import { measured } from './pace.js';

const UNEXPLAINED = new Set(['', 'interrupted']); // codes that say no more than the state
const BY_REASON = {
  content_filter: 'Cut off by the content filter of the provider',
  refusal: 'Refused by the model',
  tool_calls: 'Ended with a tool call, which this page cannot run',
};
const STATUS_BY_REASON = {
  length: 'Stopped at the limit',
  content_filter: 'Filtered',
  refusal: 'Refused',
  tool_calls: 'Ended with a tool call',
};

/** The state of a response in the history: complete, stopped or interrupted. */
export function stateOf({ status = 'complete', end_code: code = '' }) {
  return status === 'interrupted' && code === 'stopped' ? 'stopped' : status;
}

/** { reason, tokens, code } of an `end` event or a stored response; `code` is that of the error that interrupted it. */
export function endOf(end) {
  return { reason: end?.finish_reason ?? '', tokens: end?.usage?.completion_tokens ?? 0, code: end?.end_code ?? '' };
}

/** The response of a turn in the history's `messages`, with its end; null if there is none. */
export function storedResponse(messages, turn) {
  const message = messages.find((each) => each.turn === turn && each.role === 'assistant');
  return message ? { content: message.content, isStored: true, ...storedEnd(message) } : null;
}

/** How a stored response ended, as ResponseView.end takes it. */
export function storedEnd(message) {
  const { model, created = NaN, ttft_s: ttft, tokens_per_s: rate, thought_s: reasoningS = null } = message;
  return { state: stateOf(message), model, pace: measured(ttft, rate), ...endOf(message), reasoningS, atS: created };
}

/** A text for the user; empty for a complete response. */
export function describeEnd(state, { reason = '', tokens = 0, code = '' } = {}) {
  if (state !== 'complete') return describeFailed(state, code);
  if (reason !== 'length') return BY_REASON[reason] ?? '';
  return tokens > 0 ? `Stopped at the limit of ${tokens} ${tokens === 1 ? 'token' : 'tokens'}` : 'Stopped at the token limit';
}

function describeFailed(state, code) {
  if (state === 'stopped') return 'Stopped';
  return state !== 'interrupted' || UNEXPLAINED.has(code) ? 'Interrupted' : `Interrupted. ${new Failure(code).reason}`;
}

/** The same for the status line. */
export function statusOfEnd(state, { reason = '' } = {}) {
  if (state === 'stopped') return 'Stopped';
  if (state !== 'complete') return '';
  return STATUS_BY_REASON[reason] ?? 'Complete';
}
