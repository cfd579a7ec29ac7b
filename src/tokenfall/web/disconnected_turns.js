/**
 * Turns whose connection was lost, and whose end is unknown: the server may have continued them.
 *
 * It must never send a request, or drop a turn before its end is known.
 */

import { turnUnderWay } from './pending_turns.js';

const LOOK_MS = 15_000;

export class LostTurns {
  #replaced = new Map(); // turn -> the turn that it replaces
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

  /** The turn that a lost turn replaces; undefined for another turn. */
  replacedBy(turn) {
    return this.#replaced.get(turn);
  }

  found(turn) {
    this.#replaced.delete(turn);
  }

  /** The question of the lost turn of `conversation`, or null; see pending_turns.js. */
  of(conversation) {
    const left = turnUnderWay(conversation);
    return left?.id && this.has(left.id) ? left : null;
  }

  /** The shown turn that `turn` replaces, directly or through lost turns. */
  placeOf(turn) {
    const isLostHere = turn !== null && this.has(turn) && !this.#view.has(turn);
    return isLostHere ? this.placeOf(this.replacedBy(turn)) : turn;
  }

  /** Calls `look` after LOOK_MS, if `conversation` still has a lost turn. */
  lookLater(conversation, look) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.of(conversation) && look(), LOOK_MS);
  }
}
