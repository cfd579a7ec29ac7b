/**
 * What this tab knows of turns that have not ended, so that a reload or a way back can find them again.
 *
 * It must never hold more than one turn of a conversation.
 */

import { keep, recall } from './kept.js';

const name = (conversation) => `turn:${conversation}`;

/** The turn of `conversation` that was begun here: { id, question, replaces }, or null. */
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

export function forgetTurn(conversation) {
  keep(name(conversation), '');
}
