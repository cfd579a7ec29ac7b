/**
 * Turns whose connection was lost, and whose end is unknown: the server may have continued them.
 *
 * It must never send a request, or drop a turn before its end is known.
 */

import { pendingTurn } from './pending_turns.js';

const LOOK_MS = 15_000;

export class DisconnectedTurns {
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

  remove(turn) {
    this.#replaced.delete(turn);
  }

  /** The question of the lost turn of `conversation`, or null; see pending_turns.js. */
  of(conversation) {
    const pending = pendingTurn(conversation);
    return pending?.id && this.has(pending.id) ? pending : null;
  }

  /** The shown turn that `turn` replaces, directly or through lost turns. */
  placeOf(turn) {
    const isLostHere = turn !== null && this.has(turn) && !this.#view.has(turn);
    return isLostHere ? this.placeOf(this.replacedBy(turn)) : turn;
  }

  /** Calls `look` after LOOK_MS, if `conversation` still has a lost turn. */
  scheduleCheck(conversation, check) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.of(conversation) && check(), LOOK_MS);
  }
}
