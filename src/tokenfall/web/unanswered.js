/**
 * Questions that came to nothing: each goes back to its writer, who may send it again.
 *
 * It must never lose a question, give one back twice, or let one that is sent again unchanged be asked twice, or in
 * another place than before.
 */

import { randomHex } from './random.js';
import { forgetTurn, keepTurn, turnUnderWay } from './underway.js';

export class Unanswered {
  #composer;

  constructor(composer) {
    this.#composer = composer;
  }

  /** { key, replaces } of a question that is about to be asked: those that it had, where it was given up before. */
  asAsked(conversation, { question, replaces }) {
    const left = turnUnderWay(conversation);
    const isPlaced = left?.replaces === replaces || (replaces === null && !left?.isShown);
    const isSame = left?.isGivenUp && left.question === question && isPlaced;
    return isSame ? { key: left.key, replaces: left.replaces } : { key: randomHex(16), replaces };
  }

  /** Nobody waits any more for the question that is under way; the server may have it. */
  giveUp(conversation) {
    const left = turnUnderWay(conversation);
    if (left === null || left.isGivenUp) return;
    keepTurn(conversation, { ...left, isGivenUp: true });
    if (!left.isShown) this.#composer.giveBack(left.question, conversation);
  }

  /** The server said no, or was told to stop: sent again, it is another question, in the same place unless that is gone. */
  refuse({ conversation, question, replaces = null, isShown = false }, isPlaceGone) {
    forgetTurn(conversation);
    if (isShown && !isPlaceGone) return;
    if (replaces !== null && !isPlaceGone) {
      const key = randomHex(16);
      keepTurn(conversation, { key, question, replaces, isShown: false, after: null, id: '', isGivenUp: true });
    }
    this.#composer.giveBack(question, conversation);
  }
}
