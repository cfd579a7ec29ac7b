/**
 * Handles the events of a turn: tokens, reasoning, speed and end.
 *
 * It must never interpret the end of a turn.
 */

import { showStatus } from './notice.js';
import { Pace } from './pace.js';
import { updatePendingTurn } from './pending_turns.js';
import { endOf } from './response_end.js';

export class TurnHandlers {
  #pace = new Pace();
  #end;
  #request;
  #onTurnId;

  /** @param onTurnId called once other tabs can follow the turn */
  constructor(request, onTurnId) {
    this.#request = request;
    this.#onTurnId = onTurnId;
    this.#end = { model: request.model ?? '', reason: '', tokens: 0 };
    /** The turn as the view shows it; null before that. */
    this.shown = null;
  }

  /** The event handlers for `turn`; see turn.js. */
  handlers(turnNow) {
    return {
      onSend: () => this.#pace.start(),
      onBegin: ({ turn: id, model }) => {
        this.#end.model ||= model;
        this.shown.name(id);
        this.shown.response.setModel(this.#end.model);
        if (turnNow().isStopped) return;
        updatePendingTurn(this.#request.conversation, this.#request.key, { id, model });
        this.#onTurnId();
      },
      onToken: (text) => {
        this.#pace.countToken();
        this.shown.settle();
        this.shown.response.append(text);
      },
      onReasoning: (text, isRestart) => this.shown.response.appendReasoning(text, isRestart),
      onFinish: (end) => Object.assign(this.#end, endOf(end)),
      onDisconnect: () => showStatus('Connection lost. Reconnecting…'),
      onReconnect: () => showStatus('Generating…'),
    };
  }

  /** What is known about the end; no pace for a turn that was resumed. */
  known({ isResumed }) {
    return { ...this.#end, pace: isResumed ? '' : this.#pace.summary };
  }
}
