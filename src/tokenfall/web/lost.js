/**
 * Turns that ended here and whose end is not known: the connection broke, and the server may have gone on.
 *
 * It must never ask for anything itself, or forget one before it is known what became of it.
 */

import { turnUnderWay } from './underway.js';

const LOOK_MS = 15_000;

export class LostTurns {
  #replaced = new Map(); // turns, and what each was asked in the place of
  #view;
  #timer = 0;

  constructor(view) {
    this.#view = view;
  }

  add(turn, replaces) {
    this.#replaced.set(turn, replaces);
  }

  has(turn) {
    return this.#replaced.has(turn);
  }

  /** What a lost turn was asked in the place of; undefined for another. */
  replacedBy(turn) {
    return this.#replaced.get(turn);
  }

  found(turn) {
    this.#replaced.delete(turn);
  }

  /** The question of `conversation` whose turn is lost, or null; see underway.js. */
  of(conversation) {
    const left = turnUnderWay(conversation);
    return left?.id && this.has(left.id) ? left : null;
  }

  /** The turn whose place that of `turn` is, where that was lost and is not shown. */
  placeOf(turn) {
    const isLostHere = turn !== null && this.has(turn) && !this.#view.has(turn);
    return isLostHere ? this.placeOf(this.replacedBy(turn)) : turn;
  }

  /** Calls `look` in a while, if `conversation` still has a lost turn then. */
  lookLater(conversation, look) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.of(conversation) && look(), LOOK_MS);
  }
}
