/**
 * Handles the events of a turn: tokens, reasoning, speed and end.
 *
 * It must never interpret the end of a turn.
 */

import { showStatus } from './notice.js';
import { Pace } from './pace.js';
import { noteTurn } from './pending_turns.js';
import { endOf } from './response_end.js';

export class Playing {
  #pace = new Pace();
  #about;
  #asked;
  #onNamed;

  /** @param onNamed called once other tabs can follow the turn */
  constructor(asked, onNamed) {
    this.#asked = asked;
    this.#onNamed = onNamed;
    this.#about = { model: asked.model ?? '', reason: '', tokens: 0 };
    /** The turn as the view shows it; null before that. */
    this.shown = null;
  }

  /** The event handlers for `turn`; see turn.js. */
  handlers(turnNow) {
    return {
      onSend: () => this.#pace.start(),
      onBegin: ({ turn: id, model }) => {
        this.#about.model ||= model;
        this.shown.name(id);
        this.shown.answer.setModel(this.#about.model);
        if (turnNow().isStopped) return;
        noteTurn(this.#asked.conversation, this.#asked.key, { id, model });
        this.#onNamed();
      },
      onToken: (text) => {
        this.#pace.countToken();
        this.shown.settle();
        this.shown.answer.append(text);
      },
      onThought: (text, isAgain) => this.shown.answer.think(text, isAgain),
      onFinish: (end) => Object.assign(this.#about, endOf(end)),
      onLost: () => showStatus('Connection lost. Reconnecting…'),
      onBack: () => showStatus('Generating…'),
    };
  }

  /** What is known about the end; no pace for a turn that was resumed. */
  known({ cameBack }) {
    return { ...this.#about, pace: cameBack ? '' : this.#pace.summary };
  }
}
