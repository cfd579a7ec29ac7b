/**
 * Restores questions without a response: an edited one in its edit form, others as the draft.
 *
 * It must never lose a question, restore one twice, or give an unchanged retry another idempotency key.
 */

import { pendingTurn, removePendingTurn, storePendingTurn } from './pending_turns.js';
import { randomHex } from './random.js';

const isEdit = ({ replaces, isShown, isDraft }) => replaces !== null && !isShown && !isDraft;

export class UnansweredQuestions {
  #composer;
  #view;

  constructor({ composer, view }) {
    this.#composer = composer;
    this.#view = view;
  }

  /** The idempotency key for a question: its previous one if the server may have the question already. */
  keyFor(conversation, { question, replaces }) {
    const pending = pendingTurn(conversation);
    const isSame = pending?.isGivenUp && pending.question === question && pending.replaces === replaces;
    return isSame ? pending.key : randomHex(16);
  }

  /** Gives up the pending turn, which the server may have. `isOpen`: its conversation is shown. */
  giveUp(conversation, { isOpen = true } = {}) {
    const pending = pendingTurn(conversation);
    if (pending === null || pending.isGivenUp) return;
    storePendingTurn(conversation, { ...pending, isGivenUp: true });
    this.#restore(conversation, pending, isOpen);
  }

  /** The question was rejected or stopped: a retry gets a new key, and the same position unless `isPlaceGone`. */
  reject({ conversation, question, replaces = null, isShown = false }, isPlaceGone) {
    const place = isPlaceGone ? null : replaces;
    const pending = { key: randomHex(16), question, replaces: place, isShown, after: null, id: '', isGivenUp: true };
    if (isEdit(pending)) storePendingTurn(conversation, pending); // for a reload
    else removePendingTurn(conversation);
    this.#restore(conversation, pending, true);
  }

  /** After a reload, opens the edit form of a question that was given up. */
  reopen(conversation) {
    const pending = pendingTurn(conversation);
    if (pending?.isGivenUp && isEdit(pending)) this.#restore(conversation, pending, true);
  }

  /** Called when the user cancels the edit of the question of `turn`. */
  cancelEdit(conversation, turn) {
    const pending = pendingTurn(conversation);
    if (pending?.isGivenUp && isEdit(pending) && pending.replaces === turn) removePendingTurn(conversation);
  }

  /** Opens the edit form of an edited question if its message is shown; any other question becomes the draft. */
  #restore(conversation, pending, isOpen) {
    if (isEdit(pending)) {
      if (!isOpen || this.#view.edit(pending.replaces, pending.question)) return;
      storePendingTurn(conversation, { ...pending, isGivenUp: true, isDraft: true });
    }
    if (!pending.isShown) this.#composer.restoreText(pending.question, conversation);
  }
}
