/**
 * How a response ended, in words: from the server's history, and from the stream's last event.
 *
 * Pure: it must never touch the DOM, nor call complete what was cut.
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

/** The state of a kept answer, a message of the history: complete, stopped or interrupted. */
export function stateOf({ status = 'complete', end_code: code = '' }) {
  return status === 'interrupted' && code === 'stopped' ? 'stopped' : status;
}

/** What is known of an end that the server told: `{ reason, tokens }`. */
export function endOf(told) {
  return { reason: told?.finish_reason ?? '', tokens: told?.usage?.completion_tokens ?? 0 };
}

/** The answer of a turn as the history's `messages` have it, with all that is known of its end; null where they have none. */
export function answerKept(messages, turn) {
  const answer = messages.find((message) => message.turn === turn && message.role === 'assistant');
  if (!answer) return null;
  const { content, model, created, ttft_s: ttft, tokens_per_s: rate } = answer;
  return { content, state: stateOf(answer), isKept: true, model, pace: measured(ttft, rate), ...endOf(answer), ...(created && { atS: created }) };
}

/** Words for the reader; empty for an answer that ended by itself. */
export function wordsOfEnd(state, { reason = '', tokens = 0 } = {}) {
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
