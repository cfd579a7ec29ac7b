/**
 * Turns whose connection was lost and whose end is unknown: the server may have continued them.
 *
 * It must never send a request, or drop a turn before its end is known.
 */

import { pendingTurn } from './pending_turns.js';

const CHECK_MS = 15_000;

export class DisconnectedTurns {
  #replaced = new Map(); // replaced turn, by disconnected turn
  #view;
  #check;
  #timer = 0;

  /** @param check called to look for the end of the disconnected turn */
  constructor(view, check) {
    this.#view = view;
    this.#check = check;
  }

  add(turn, replaces) {
    this.#replaced.set(turn, replaces);
  }

  has(turn) {
    return this.#replaced.has(turn);
  }

  /** The turn that a disconnected turn replaces; undefined for any other turn. */
  replacedBy(turn) {
    return this.#replaced.get(turn);
  }

  remove(turn) {
    this.#replaced.delete(turn);
  }

  /** The pending turn of `conversation` if it is disconnected, else null. */
  of(conversation) {
    const pending = pendingTurn(conversation);
    return pending?.id && this.has(pending.id) ? pending : null;
  }

  /** The turn on the page that `turn` replaces, directly or through disconnected turns. */
  placeOf(turn) {
    const isReplaced = turn !== null && this.has(turn) && !this.#view.has(turn);
    return isReplaced ? this.placeOf(this.replacedBy(turn)) : turn;
  }

  /** Schedules the check, for the case that `conversation` still has a disconnected turn then. */
  scheduleCheck(conversation) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.of(conversation) && this.#check(), CHECK_MS);
  }
}
