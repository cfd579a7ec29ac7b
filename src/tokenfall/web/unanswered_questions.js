/**
 * Questions without a response: an edited one is opened for editing again, others become the draft.
 *
 * It must never lose a question, restore one twice, or send one that is repeated unchanged as another.
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

  /** The key for a question: its previous one if the server may have it already. */
  keyFor(conversation, { question, replaces }) {
    const pending = pendingTurn(conversation);
    const isSame = pending?.isGivenUp && pending.question === question && pending.replaces === replaces;
    return isSame ? pending.key : randomHex(16);
  }

  /** Gives up the question in progress; the server may have it. `isHere`: its conversation is shown. */
  giveUp(conversation, { isOpen = true } = {}) {
    const pending = pendingTurn(conversation);
    if (pending === null || pending.isGivenUp) return;
    storePendingTurn(conversation, { ...pending, isGivenUp: true });
    this.#restore(conversation, pending, isOpen);
  }

  /** The server refused the question, or it was stopped: sent again, it is another one, in the same place if that exists. */
  reject({ conversation, question, replaces = null, isShown = false }, isPlaceGone) {
    const place = isPlaceGone ? null : replaces;
    const pending = { key: randomHex(16), question, replaces: place, isShown, after: null, id: '', isGivenUp: true };
    if (isEdit(pending)) storePendingTurn(conversation, pending); // for a reload
    else removePendingTurn(conversation);
    this.#restore(conversation, pending, true);
  }

  /** Opens an edited question that was given up for editing again, after a reload. */
  reopen(conversation) {
    const pending = pendingTurn(conversation);
    if (pending?.isGivenUp && isEdit(pending)) this.#restore(conversation, pending, true);
  }

  /** The edit of the question of `turn` was cancelled. */
  cancelEdit(conversation, turn) {
    const pending = pendingTurn(conversation);
    if (pending?.isGivenUp && isEdit(pending) && pending.replaces === turn) removePendingTurn(conversation);
  }

  /** Opens an edited question for editing if its message is shown; otherwise it becomes the draft. */
  #restore(conversation, pending, isOpen) {
    if (isEdit(pending)) {
      if (!isOpen || this.#view.edit(pending.replaces, pending.question)) return;
      storePendingTurn(conversation, { ...pending, isGivenUp: true, isDraft: true });
    }
    if (!pending.isShown) this.#composer.restoreText(pending.question, conversation);
  }
}
