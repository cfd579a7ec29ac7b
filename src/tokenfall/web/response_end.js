/**
 * How a response ended, as text: from the server's history, and from the stream's `end` event.
 *
 * Pure: it must never touch the DOM, or call an incomplete response complete.
 */

import { measured } from './pace.js';

const BY_STATE = {
  stopped: 'Stopped',
  interrupted: 'Interrupted',
  failed: 'Not complete',
};
const BY_REASON = {
  content_filter: 'Ended by the provider’s content filter, or refused by the model',
  tool_calls: 'The model asked for a tool, which this page cannot run',
};

/** The state of a response in the history: complete, stopped or interrupted. */
export function stateOf({ status = 'complete', end_code: code = '' }) {
  return status === 'interrupted' && code === 'stopped' ? 'stopped' : status;
}

/** { reason, tokens } of an `end` event or a stored response. */
export function endOf(end) {
  return { reason: end?.finish_reason ?? '', tokens: end?.usage?.completion_tokens ?? 0 };
}

/** The response of a turn in the history's `messages`, with its end; null if there is none. */
export function storedResponse(messages, turn) {
  const message = messages.find((each) => each.turn === turn && each.role === 'assistant');
  if (!message) return null;
  const { content, model, created, ttft_s: ttft, tokens_per_s: rate } = message;
  return { content, state: stateOf(message), isStored: true, model, pace: measured(ttft, rate), ...endOf(message), ...(created && { atS: created }) };
}

/** A text for the user; empty for a complete response. */
export function describeEnd(state, { reason = '', tokens = 0 } = {}) {
  if (state !== 'complete') return BY_STATE[state] ?? BY_STATE.interrupted;
  if (reason !== 'length') return BY_REASON[reason] ?? '';
  return tokens > 0 ? `Stopped at the limit of ${tokens} ${tokens === 1 ? 'token' : 'tokens'}` : 'Stopped at the token limit';
}

/** The same for the status line. */
export function statusOfEnd(state, { reason = '' } = {}) {
  if (state === 'stopped') return 'Stopped';
  if (state !== 'complete') return '';
  if (reason === 'length') return 'Stopped at the limit';
  return reason === 'content_filter' ? 'Filtered' : 'Complete';
}
