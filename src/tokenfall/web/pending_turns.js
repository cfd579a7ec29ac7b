/**
 * The question in progress of each conversation of this tab, so that a reload can resume its turn.
 *
 * A question is { key, question, replaces, isShown, after, id, isGivenUp }: `key` is its own and stays when it is sent
 * once more; `after` is the turn before it, null until it is sent; `id` is its turn's, '' until the server has sent it;
 * `isGivenUp`: this page does not wait for it any more, though the server may have it; `isDraft`: an edited question
 * became a draft, because its message is not shown.
 *
 * It must never store more than one question per conversation.
 */

import { readTab, writeTab } from './tab_storage.js';

const name = (conversation) => `turn:${conversation}`;

/** The question in progress of `conversation`, or null. */
export function pendingTurn(conversation) {
  try {
    return JSON.parse(readTab(name(conversation)) || 'null');
  } catch {
    return null;
  }
}

export function storePendingTurn(conversation, turn) {
  writeTab(name(conversation), JSON.stringify(turn));
}

/** Stores a question that is sent, or whose turn is resumed. */
export function addPendingTurn({ conversation, key, question, replaces, isShown, isContinued, id = '' }) {
  const pending = { key, question, replaces, isShown, ...(isContinued && { isContinued }) };
  storePendingTurn(conversation, { ...pending, after: null, id, isGivenUp: false });
}

export function removePendingTurn(conversation) {
  writeTab(name(conversation), '');
}

/** Adds fields to the question with this `key`, if it is still the stored one. */
export function updatePendingTurn(conversation, key, more) {
  const pending = pendingTurn(conversation);
  if (pending?.key === key) storePendingTurn(conversation, { ...pending, ...more });
}

/** Whether the conversation's `messages` contain the turn of a question, also if its id is unknown. */
export function isStored({ id, question, after }, messages) {
  if (id) return messages.some(({ turn }) => turn === id);
  const last = messages.findLast(({ role }) => role === 'user');
  return after !== null && last?.content === question && last.turn !== after;
}
