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

import { keep, recall } from './tab_storage.js';

const name = (conversation) => `turn:${conversation}`;

/** The question in progress of `conversation`, or null. */
export function turnUnderWay(conversation) {
  try {
    return JSON.parse(recall(name(conversation)) || 'null');
  } catch {
    return null;
  }
}

export function keepTurn(conversation, turn) {
  keep(name(conversation), JSON.stringify(turn));
}

/** Stores a question that is sent, or whose turn is resumed. */
export function keepAsked({ conversation, key, question, replaces, isShown, isContinued, id = '' }) {
  const left = { key, question, replaces, isShown, ...(isContinued && { isContinued }) };
  keepTurn(conversation, { ...left, after: null, id, isGivenUp: false });
}

export function forgetTurn(conversation) {
  keep(name(conversation), '');
}

/** Adds fields to the question with this `key`, if it is still the stored one. */
export function noteTurn(conversation, key, more) {
  const left = turnUnderWay(conversation);
  if (left?.key === key) keepTurn(conversation, { ...left, ...more });
}

/** Whether the conversation's `messages` contain the turn of a question, also if its id is unknown. */
export function isKept({ id, question, after }, messages) {
  if (id) return messages.some(({ turn }) => turn === id);
  const last = messages.findLast(({ role }) => role === 'user');
  return after !== null && last?.content === question && last.turn !== after;
}
