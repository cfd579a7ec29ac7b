/**
 * Questions without a response: an edited one is opened for editing again, others become the draft.
 *
 * It must never lose a question, restore one twice, or send one that is repeated unchanged as another.
 */

import { forgetTurn, keepTurn, turnUnderWay } from './pending_turns.js';
import { randomHex } from './random.js';

const isEdit = ({ replaces, isShown, isDraft }) => replaces !== null && !isShown && !isDraft;

export class Unanswered {
  #composer;
  #view;

  constructor({ composer, view }) {
    this.#composer = composer;
    this.#view = view;
  }

  /** The key for a question: its previous one if the server may have it already. */
  keyFor(conversation, { question, replaces }) {
    const left = turnUnderWay(conversation);
    const isSame = left?.isGivenUp && left.question === question && left.replaces === replaces;
    return isSame ? left.key : randomHex(16);
  }

  /** Gives up the question in progress; the server may have it. `isHere`: its conversation is shown. */
  giveUp(conversation, { isHere = true } = {}) {
    const left = turnUnderWay(conversation);
    if (left === null || left.isGivenUp) return;
    keepTurn(conversation, { ...left, isGivenUp: true });
    this.#giveBack(conversation, left, isHere);
  }

  /** The server refused the question, or it was stopped: sent again, it is another one, in the same place if that exists. */
  refuse({ conversation, question, replaces = null, isShown = false }, isPlaceGone) {
    const place = isPlaceGone ? null : replaces;
    const left = { key: randomHex(16), question, replaces: place, isShown, after: null, id: '', isGivenUp: true };
    if (isEdit(left)) keepTurn(conversation, left); // for a reload
    else forgetTurn(conversation);
    this.#giveBack(conversation, left, true);
  }

  /** Opens an edited question that was given up for editing again, after a reload. */
  reopen(conversation) {
    const left = turnUnderWay(conversation);
    if (left?.isGivenUp && isEdit(left)) this.#giveBack(conversation, left, true);
  }

  /** The edit of the question of `turn` was cancelled. */
  drop(conversation, turn) {
    const left = turnUnderWay(conversation);
    if (left?.isGivenUp && isEdit(left) && left.replaces === turn) forgetTurn(conversation);
  }

  /** Opens an edited question for editing if its message is shown; otherwise it becomes the draft. */
  #giveBack(conversation, left, isHere) {
    if (isEdit(left)) {
      if (!isHere || this.#view.edit(left.replaces, left.question)) return;
      keepTurn(conversation, { ...left, isGivenUp: true, isDraft: true });
    }
    if (!left.isShown) this.#composer.giveBack(left.question, conversation);
  }
}
