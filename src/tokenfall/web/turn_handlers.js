/**
 * The event handlers of a turn: tokens, reasoning, speed and end. They must never interpret the end.
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

  /** @param onTurnId called when other tabs can follow the turn */
  constructor(request, onTurnId) {
    this.#request = request;
    this.#onTurnId = onTurnId;
    this.#end = { model: request.model ?? '', reason: '', tokens: 0 };
    /** The turn as returned by the view's `beginTurn`; null before. */
    this.shown = null;
  }

  /** The callbacks of a Turn. */
  get callbacks() {
    return {
      onSend: () => this.#pace.start(),
      onBegin: ({ turn: id, model, isStopped }) => {
        this.#end.model ||= model;
        this.shown.name(id);
        this.shown.response.setModel(this.#end.model);
        if (isStopped) return;
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

  /** The known fields of the end, without a speed if the turn was resumed. */
  known({ isResumed }) {
    return { ...this.#end, pace: isResumed ? '' : this.#pace.summary };
  }
}
