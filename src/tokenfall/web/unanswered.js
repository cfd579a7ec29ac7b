/**
 * Questions that came to nothing: each goes back to its writer, an edited one to where it was edited, others to the draft.
 *
 * It must never lose a question, give one back twice, or let one that is sent again unchanged be asked twice.
 */

import { randomHex } from './random.js';
import { forgetTurn, keepTurn, turnUnderWay } from './underway.js';

const isEdit = ({ replaces, isShown, isDraft }) => replaces !== null && !isShown && !isDraft;

export class Unanswered {
  #composer;
  #view;

  constructor({ composer, view }) {
    this.#composer = composer;
    this.#view = view;
  }

  /** The key for a question: the one it had, where the server may have it already. */
  keyFor(conversation, { question, replaces }) {
    const left = turnUnderWay(conversation);
    const isSame = left?.isGivenUp && left.question === question && left.replaces === replaces;
    return isSame ? left.key : randomHex(16);
  }

  /** Nobody waits any more for the question that is under way; the server may have it. `isHere`: its place is shown. */
  giveUp(conversation, { isHere = true } = {}) {
    const left = turnUnderWay(conversation);
    if (left === null || left.isGivenUp) return;
    keepTurn(conversation, { ...left, isGivenUp: true });
    this.#giveBack(conversation, left, isHere);
  }

  /** The server said no, or was told to stop: sent again, it is another question, in the same place unless that is gone. */
  refuse({ conversation, question, replaces = null, isShown = false }, isPlaceGone) {
    const place = isPlaceGone ? { replaces: null, isShown: false } : { replaces, isShown };
    const left = { key: randomHex(16), question, ...place, after: null, id: '', isGivenUp: true };
    if (isEdit(left)) keepTurn(conversation, left); // for a reload
    else forgetTurn(conversation);
    this.#giveBack(conversation, left, true);
  }

  /** Shows an edited question again that was given up: what was being edited is gone with a reload. */
  reopen(conversation) {
    const left = turnUnderWay(conversation);
    if (left?.isGivenUp && isEdit(left)) this.#giveBack(conversation, left, true);
  }

  /** Its writer does not want to edit the question of `turn` any more. */
  drop(conversation, turn) {
    const left = turnUnderWay(conversation);
    if (left?.isGivenUp && isEdit(left) && left.replaces === turn) forgetTurn(conversation);
  }

  /** What was edited goes back to its place when that is shown; where it is not there any more, it is a draft. */
  #giveBack(conversation, left, isHere) {
    if (isEdit(left)) {
      if (!isHere || this.#view.edit(left.replaces, left.question)) return;
      keepTurn(conversation, { ...left, isGivenUp: true, isDraft: true });
    }
    if (!left.isShown) this.#composer.giveBack(left.question, conversation);
  }
}
