/**
 * The pending turn of each conversation of this tab, stored so that it can be resumed after a reload.
 *
 * A pending turn is { key, question, replaces, isShown, after, id, isGivenUp }: `key` is its idempotency key, reused for
 * retries; `after` is the previous turn, null until the question is sent; `id` is '' until the server has sent it;
 * `isGivenUp`: the page has stopped waiting, but the server may have the turn; `isDraft`: an edited question became a
 * draft because its message is not shown.
 */

import { parseJSON } from './json.js';
import { readTab, writeTab } from './tab_storage.js';

const name = (conversation) => `turn:${conversation}`;

/** The pending turn of `conversation`, or null. */
export function pendingTurn(conversation) {
  return parseJSON(readTab(name(conversation)));
}

export function storePendingTurn(conversation, turn) {
  writeTab(name(conversation), JSON.stringify(turn));
}

/** Stores a turn that is started or resumed. */
export function addPendingTurn({ conversation, key, question, replaces, isShown, isContinued, id = '' }) {
  const pending = { key, question, replaces, isShown, ...(isContinued && { isContinued }) };
  storePendingTurn(conversation, { ...pending, after: null, id, isGivenUp: false });
}

export function removePendingTurn(conversation) {
  writeTab(name(conversation), '');
}

/** Changes fields of the pending turn, if it has this `key`. */
export function updatePendingTurn(conversation, key, more) {
  const pending = pendingTurn(conversation);
  if (pending?.key === key) storePendingTurn(conversation, { ...pending, ...more });
}

/** Whether the conversation's `messages` contain the turn. Without an id, its question and position are compared. */
export function isStored({ id, question, after }, messages) {
  if (id) return messages.some(({ turn }) => turn === id);
  const last = messages.findLast(({ role }) => role === 'user');
  return after !== null && last?.content === question && last.turn !== after;
}
