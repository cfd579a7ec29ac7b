/**
 * What this tab knows of a question until its turn has ended, so that a reload or a way back can find that again.
 *
 * A question is { key, question, replaces, isShown, after, id, isGivenUp }: `key` is its own and stays when it is sent
 * once more; `after` is the turn before it, null as long as it was not sent; `id` is its turn's, '' until the server
 * told it; `isGivenUp` says that nobody waits here any more, though the server may have it, and `isDraft` that what
was edited is a draft, because its place is not there.
 *
 * It must never hold more than one question of a conversation.
 */

import { keep, recall } from './kept.js';

const name = (conversation) => `turn:${conversation}`;

/** The question of `conversation` that was asked here, or null. */
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

/** A question leaves, or its turn is come back to. */
export function keepAsked({ conversation, key, question, replaces, isShown, isContinued, id = '' }) {
  const left = { key, question, replaces, isShown, ...(isContinued && { isContinued }) };
  keepTurn(conversation, { ...left, after: null, id, isGivenUp: false });
}

export function forgetTurn(conversation) {
  keep(name(conversation), '');
}

/** More is known of the question with this `key`, if it is still the one that is held. */
export function noteTurn(conversation, key, more) {
  const left = turnUnderWay(conversation);
  if (left?.key === key) keepTurn(conversation, { ...left, ...more });
}

/** Whether the conversation's `messages` have the turn of a question, also where its name never came here. */
export function isKept({ id, question, after }, messages) {
  if (id) return messages.some(({ turn }) => turn === id);
  const last = messages.findLast(({ role }) => role === 'user');
  return after !== null && last?.content === question && last.turn !== after;
}
