/**
 * Controls the conversation that is shown: loads it, and runs one turn at a time.
 *
 * A turn ends once: complete (`[DONE]` was read), stopped (by the user), left (another conversation was opened) or failed
 * (everything else). It must never show a failed response as complete, or lose the question of a failed turn.
 */

import { unlessAborted } from './abortable.js';
import { DisconnectedTurns } from './disconnected_turns.js';
import { asFailure, asLostResponse } from './failures.js';
import { HistoryLoader, messagesOf } from './history_loader.js';
import { showStatus } from './notice.js';
import { addPendingTurn, isStored, pendingTurn, removePendingTurn, updatePendingTurn } from './pending_turns.js';
import { statusOfEnd } from './response_end.js';
import { StopRequests } from './stop_requests.js';
import { isResumable, isUnconfirmed, Turn } from './turn.js';
import { TurnHandlers } from './turn_handlers.js';
import { UnansweredQuestions } from './unanswered_questions.js';

const CHANGED = 'This conversation was changed elsewhere. It is shown as it is now.';
const LOST = 'The server no longer has this conversation.';
const FINAL = new Set(['body_too_large', 'conversation_changed']); // a retry cannot succeed

export class Conversation {
  #api;
  #view;
  #composer;
  #notice;
  #on;
  #turn = null; // the current Turn
  #isSuspended = false; // the conversation is being deleted
  #history;
  #stops;
  #disconnected;
  #questions;

  /**
   * @param parts api, view, composer, notice; onBegin(): a turn begins; onTurnId(): it has an id; onTurn(end): the
   *   server's list may have changed; `end` describes the end of a turn, '' if none has ended
   */
  constructor({ api, view, composer, notice, onBegin = () => {}, onTurnId = () => {}, onTurn }) {
    this.#api = api;
    this.#view = view;
    this.#composer = composer;
    this.#questions = new UnansweredQuestions({ composer, view });
    this.#history = new HistoryLoader({ api, view });
    this.#notice = notice;
    this.#stops = new StopRequests(notice);
    this.#disconnected = new DisconnectedTurns(view, () => this.refresh());
    this.#on = { onBegin, onTurnId, onTurn };
    this.id = '';
  }

  /** The question of the current turn, empty without one. */
  get question() {
    return this.#turn?.question ?? '';
  }

  get isBusy() {
    return this.#turn !== null;
  }

  /** Resolves when the server has stored the turns that were stopped. */
  get isStored() {
    return this.#stops.done;
  }

  /** Shows another conversation. The server continues the turn of the previous one. */
  async open(id, { isNew = false } = {}) {
    if (this.isBusy) this.#leaveTurn();
    this.id = id;
    this.#composer.setConversation(id);
    this.#history.open(id, { isNew });
    showStatus('');
    await this.show();
  }

  /** Loads and shows the messages, and resumes a pending turn. */
  async show() {
    const { visit } = this.#history;
    this.#notice.clear();
    try {
      const messages = await this.#history.load();
      this.#on.onTurn('');
      if (visit === this.#history.visit && !this.isBusy) await this.#resume(messages);
    } catch (error) {
      if (visit !== this.#history.visit) return;
      this.#on.onTurn('');
      this.#showNotLoaded(asFailure(error));
    }
  }

  /**
   * Sends `text`, and replaces the turn `replaces` if given; returns false if it cannot be sent now. `isShown`: the
   * question is that turn's own, so it does not become a draft after a failure. `isContinued`: `text` asks the model to
   * continue that turn's response. `options` apply to this question only.
   */
  ask({ text: question, replaces = null, isShown = false, isContinued = false, options = null }) {
    if (this.isBusy || this.#hasUnshownTurn()) return false;
    const key = this.#questions.keyFor(this.id, { question, replaces });
    const isRepeated = pendingTurn(this.id)?.key === key;
    const fallback = isContinued ? undefined : this.#disconnected.replacedBy(replaces);
    this.#run({ conversation: this.id, question, replaces, isShown, isContinued, options, fallback, key, isRepeated });
    return true;
  }

  /** Shows a turn of another tab while it is streamed. */
  follow({ conversation, ...request }) {
    if (conversation !== this.id || this.isBusy || this.#view.isEditing || this.#view.has(request.id)) return;
    this.#run({ ...request, conversation, isFollowed: true });
  }

  cancelEdit(turn) {
    this.#questions.cancelEdit(this.id, turn);
  }

  /** Whether a pending turn is not shown yet. A new one would overwrite it. */
  #hasUnshownTurn() {
    const pending = pendingTurn(this.id);
    if (!pending?.id || pending.isGivenUp || this.#disconnected.has(pending.id)) return false;
    if (!this.#history.isRequested) this.show();
    showStatus('A response is still loading.');
    return true;
  }

  /** Stops the current turn at once. */
  stop() {
    if (this.isBusy && !this.#turn.isOver) this.#stops.stop(this.#turn);
  }

  /** Stops the current turn, then runs `act`. Until it has finished, `refresh` does nothing. */
  async runStopped(act) {
    this.#isSuspended = true;
    this.stop();
    await this.#stops.done;
    await act().finally(() => (this.#isSuspended = false));
  }

  messages() { return messagesOf(this.#api, this.id); }

  /** Shows changes made on other pages; does nothing if the server cannot be reached. */
  async refresh() {
    if (this.isBusy || this.#isSuspended || this.#view.isEditing) return;
    const disconnected = this.#disconnected.of(this.id);
    const hasChanged = await (disconnected ? this.#checkDisconnected(disconnected) : this.#history.refresh().catch(asFailure));
    if (hasChanged === true) this.#report(this.#history.newest ? CHANGED : LOST, null);
  }

  /** Resumes the pending turn after a reload, or after another conversation was shown. */
  async #resume(messages) {
    const pending = pendingTurn(this.id);
    if (pending === null) return;
    if (pending.isGivenUp && (pending.id || isStored(pending, messages))) this.#composer.removeRestored(pending.question);
    if (isStored(pending, messages)) {
      removePendingTurn(this.id);
      showStatus('');
    } else if (pending.id) await this.#run({ conversation: this.id, ...pending });
    else if (pending.isGivenUp) this.#questions.reopen(this.id);
    else this.#questions.giveUp(this.id);
  }

  /** Shows the disconnected turn if the server has stored it, or resumes it. Never sends a question again. */
  async #checkDisconnected(disconnected) {
    const { visit } = this.#history;
    const messages = await this.messages().catch(asFailure);
    if (visit !== this.#history.visit || this.isBusy || this.#disconnected.of(this.id)?.id !== disconnected.id) return;
    if (!Array.isArray(messages)) this.#disconnected.scheduleCheck(this.id);
    else if (isStored(disconnected, messages)) await this.#showStored(disconnected);
    else await this.#run({ conversation: this.id, ...disconnected });
  }

  /** Shows a turn that ended while this page was disconnected. */
  async #showStored(disconnected) {
    this.#composer.removeRestored(disconnected.question);
    this.#disconnected.remove(disconnected.id);
    this.#history.invalidate();
    await this.show();
    showStatus('The response was completed while you were disconnected.');
  }

  #showNotLoaded(failure) {
    if (!this.isBusy && pendingTurn(this.id)?.id === '') this.#questions.giveUp(this.id, { isOpen: false });
    showStatus('');
    const [label, meanwhile] = failure.status === 401 ? ['Enter a key', ''] : ['Load again', 'Loading again'];
    this.#notice.showFailure(failure, { label, run: () => this.show(), meanwhile });
  }

  async #run(request) {
    const { conversation, question, replaces, isContinued, key } = request;
    const handlers = new TurnHandlers(request, this.#on.onTurnId);
    const turn = new Turn(this.#api, request, handlers.callbacks);
    this.#setTurn(turn);
    this.#notice.clear();
    this.#on.onBegin();
    showStatus('Generating…');
    addPendingTurn(request);
    let [state, failure] = ['complete', null];
    try {
      await unlessAborted(Promise.all([this.#stops.done, this.#history.load()]), turn.signal);
      updatePendingTurn(conversation, key, { after: this.#view.lastTurn });
      const place = this.#disconnected.placeOf(this.#disconnected.has(turn.id) ? turn.id : replaces);
      handlers.shown = this.#view.beginTurn(question, { turn: turn.id, replaces: place, isContinued: isContinued && place === replaces });
      await turn.run(...this.#history.invalidateNewest(turn));
    } catch (error) {
      state = turn.isOver ? 'stopped' : 'failed';
      failure = turn.isOver ? null : asFailure(error);
    }
    if (this.#turn !== turn) return; // another conversation was opened
    const { shown } = handlers;
    if (shown) await this.#end({ turn, request, shown, state, failure, known: handlers.known(turn) });
    else this.#endUnanswered({ turn, request, state, failure });
  }

  async #end({ turn, request, shown, state, failure, known }) {
    const { response } = shown;
    const stored = await this.#history.storedEnd(turn);
    if (this.#turn !== turn) return;
    if (!failure || !isResumable(failure)) removePendingTurn(request.conversation);
    const end = stored ?? { content: response.text, state, isStored: state === 'complete', ...known };
    if (end.content !== response.text) response.replace(end.content);
    if (end.state !== 'complete' && response.text === shown.before) {
      shown.withdraw();
      this.#endWithoutText({ turn, request, state, failure: asLostResponse(failure) });
      return;
    }
    this.#disconnected.remove(turn.id);
    shown.settle();
    response.end(end.state, end);
    if (end.isStored) this.#history.newest = turn.id;
    this.#setTurn(null);
    if (state === 'failed') this.#disconnected.add(turn.id, request.replaces);
    if (end.state === 'complete') this.#report(statusOfEnd(end.state, end), null);
    else this.#report(statusOfEnd(state), asLostResponse(failure), { ...request, replaces: turn.id });
  }

  /** Restores the messages from before the turn; on a retry, sends a question again whose response the server lost. */
  #endWithoutText(ended) {
    const { turn, request, failure } = ended;
    const retry = { ...request, replaces: request.isContinued ? request.replaces : turn.id };
    const isRetried = request.isRetry && failure?.code === 'response_lost';
    const isShown = this.#view.has(turn.id);
    if (request.isFollowed) removePendingTurn(request.conversation); // the other tab stores it
    if (isRetried || isShown || request.isFollowed) this.#setTurn(null);
    else this.#endUnanswered(ended);
    if (isRetried) this.#retry(retry);
    else if (isShown) this.#report(statusOfEnd(ended.state), failure, retry);
  }

  /** There is no response: restores the question as draft. If the server has stored the turn, a retry replaces it. */
  #endUnanswered({ turn, request, state, failure }) {
    const isOpen = failure !== null && (turn.id ? isResumable(failure) : isUnconfirmed(failure));
    if (failure !== null && !isOpen && !turn.id) this.#history.newest = turn.follows; // the server rejected it
    if (isOpen) this.#questions.giveUp(request.conversation);
    else this.#questions.reject(request, failure?.code === 'conversation_changed');
    if (isOpen && turn.id) this.#disconnected.add(turn.id, request.replaces);
    this.#setTurn(null);
    this.#report(statusOfEnd(state), failure, isOpen && turn.id ? { ...request, replaces: turn.id } : request);
  }

  #report(status, failure, request) {
    showStatus(status);
    this.#on.onTurn(status || failure?.reason);
    if (this.#history.newest === null && this.#disconnected.of(this.id) === null) this.#stops.done.then(() => this.refresh());
    if (!failure) return;
    const disconnected = isResumable(failure) ? this.#disconnected.of(this.id) : null;
    if (disconnected) this.#disconnected.scheduleCheck(this.id);
    const run = () => (disconnected ? this.#run({ conversation: this.id, ...disconnected, isRetry: true }) : this.#retry(request));
    this.#notice.showFailure(failure, FINAL.has(failure.code) ? null : { label: 'Try again', run });
    if (failure.code === 'conversation_changed') this.#showChanged(request);
  }

  /** Shows the server's messages. A question that was to be sent again and is not among them becomes the draft. */
  async #showChanged({ conversation, question, replaces, isShown, isContinued }) {
    await this.#history.reload((unloaded) => this.#notice.showFailure(unloaded));
    if (!isShown || isContinued || conversation !== this.id) return;
    if (this.#history.newest === '' || !this.#view.has(replaces)) this.#composer.restoreText(question);
  }

  #retry({ question, replaces, isShown, isContinued }) {
    this.#composer.removeRestored(question);
    if (this.#disconnected.has(replaces)) this.#stops.waitFor(this.#api.stop(replaces).catch(() => {})); // it may be running
    this.ask({ text: question, replaces, isShown, isContinued });
  }

  /** Leaves the current turn. A question that the server has not accepted becomes the draft of its conversation. */
  #leaveTurn() {
    const [id, turn] = [this.id, this.#turn];
    this.#setTurn(null);
    turn.leave().then(() => {
      const isSentAgain = this.#turn?.key === turn.key;
      if (!turn.id && !isSentAgain && pendingTurn(id)?.key === turn.key) this.#questions.giveUp(id, { isOpen: id === this.id && this.#history.visit.isShown });
    });
  }

  #setTurn(turn) {
    this.#turn = turn;
    for (const part of [this.#composer, this.#view]) part.setBusy(this.isBusy);
  }
}
