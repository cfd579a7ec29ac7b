/**
 * The conversation that is shown: loads it, and runs one turn at a time.
 *
 * A turn has exactly one end: complete (`[DONE]` was read), stopped (by the user), left (another conversation is shown)
 * or failed (everything else). It must never show a failed response as complete, lose a message that failed, or run two
 * turns at once.
 */

import { unlessAborted } from './abortable.js';
import { asFailure, gone } from './failures.js';
import { Loading, messagesOf } from './history_loader.js';
import { LostTurns } from './disconnected_turns.js';
import { showStatus } from './notice.js';
import { forgetTurn, isKept, keepAsked, noteTurn, turnUnderWay } from './pending_turns.js';
import { statusOfEnd } from './response_end.js';
import { Stopping } from './stop_requests.js';
import { isLost, isUnconfirmed, Turn } from './turn.js';
import { Playing } from './turn_handlers.js';
import { Unanswered } from './unanswered_questions.js';

const CHANGED = 'This conversation was changed elsewhere. It is shown as it is now.';
const LOST = 'The server no longer has this conversation.';
const FINAL = new Set(['body_too_large', 'conversation_changed']); // sending the same again cannot succeed

export class Conversation {
  #api;
  #view;
  #composer;
  #notice;
  #on;
  #turn = null; // the current Turn
  #isResting = false; // the conversation is being deleted
  #loading;
  #stopping;
  #lost;
  #unanswered;

  /**
   * @param parts api, view, composer, notice; onBegin(), called when a turn begins, onNamed(), when it has an
   *   id, onTurn(), when the server's list may have changed
   */
  constructor({ api, view, composer, notice, onBegin = () => {}, onNamed = () => {}, onTurn }) {
    this.#api = api;
    this.#view = view;
    this.#composer = composer;
    this.#unanswered = new Unanswered({ composer, view });
    this.#loading = new Loading({ api, view });
    this.#notice = notice;
    this.#stopping = new Stopping(notice);
    this.#lost = new LostTurns(view);
    this.#on = { onBegin, onNamed, onTurn };
    this.id = '';
  }

  /** The question of the current turn, '' if there is none. */
  get question() {
    return this.#turn?.question ?? '';
  }

  get isBusy() {
    return this.#turn !== null;
  }

  /** Shows another conversation; the server continues the turn of the previous one. */
  async open(id, { isNew = false } = {}) {
    if (this.isBusy) this.#leave();
    this.id = id;
    this.#composer.setConversation(id);
    this.#loading.begin(id, { isNew });
    showStatus('');
    await this.show();
  }

  /** Shows the server's messages, and resumes a turn that was in progress. */
  async show() {
    const { visit } = this.#loading;
    this.#notice.clear();
    try {
      const messages = await this.#loading.load();
      this.#on.onTurn();
      if (visit === this.#loading.visit && !this.isBusy) await this.#resume(messages);
    } catch (error) {
      if (visit !== this.#loading.visit) return;
      this.#on.onTurn();
      this.#showNotLoaded(asFailure(error));
    }
  }

  /**
   * Sends `text`, in place of the turn `replaces` if given; returns whether it could. If `isShown`, the question is part
   * of that turn and does not become a draft after a failure. `isContinued`: `text` asks the model to continue that
   * turn's response. `options` apply to this question only.
   */
  ask({ text: question, replaces = null, isShown = false, isContinued = false, options = null }) {
    if (this.isBusy || this.#mustResumeFirst()) return false;
    const [key, instead] = [this.#unanswered.keyFor(this.id, { question, replaces }), this.#lost.replacedBy(replaces)];
    const mayBeGone = instead !== undefined && !isContinued;
    const more = { ...(isContinued && { isContinued }), ...(options && { options }), isRepeated: turnUnderWay(this.id)?.key === key };
    this.#play({ conversation: this.id, question, replaces, isShown, mayBeGone, instead, key, ...more });
    return true;
  }

  /** Shows the turn of another tab while it is received. */
  follow({ conversation, ...asked }) {
    if (conversation !== this.id || this.isBusy || this.#view.isEditing || this.#view.has(asked.id)) return;
    this.#play({ ...asked, conversation, isFollowed: true });
  }

  dropEdit(turn) {
    this.#unanswered.drop(this.id, turn);
  }

  /** Whether a turn in progress is not shown yet, which a new one would replace. */
  #mustResumeFirst() {
    const left = turnUnderWay(this.id);
    if (!left?.id || left.isGivenUp || this.#lost.has(left.id)) return false;
    if (!this.#loading.isBegun) this.show();
    showStatus('A response is still loading.');
    return true;
  }

  /** Stops the response at once. */
  stop() {
    if (this.isBusy && !this.#turn.isOver) this.#stopping.stop(this.#turn);
  }

  /** Stops the current turn, and runs `act` when the server has ended it. The page does not look for changes meanwhile. */
  async rest(act) {
    this.#isResting = true;
    this.stop();
    await this.#stopping.done;
    await act().finally(() => (this.#isResting = false));
  }

  messages() {
    return messagesOf(this.#api, this.id);
  }

  /** The page is visible again: shows what changed meanwhile. Without the server the page stays as it is. */
  async look() {
    if (this.isBusy || this.#isResting || this.#view.isEditing) return;
    const lost = this.#lost.of(this.id);
    const hasChanged = await (lost ? this.#lookForLost(lost) : this.#loading.look().catch(asFailure));
    if (hasChanged === true) this.#report(this.#loading.newest ? CHANGED : LOST, null);
  }

  /** Resumes the turn that a reload or another conversation interrupted. */
  async #resume(messages) {
    const left = turnUnderWay(this.id);
    if (left === null) return;
    if (left.isGivenUp && (left.id || isKept(left, messages))) this.#composer.takeBack(left.question);
    if (isKept(left, messages)) {
      forgetTurn(this.id);
      showStatus('');
    } else if (left.id) await this.#play({ conversation: this.id, ...left });
    else if (left.isGivenUp) this.#unanswered.reopen(this.id);
    else this.#unanswered.giveUp(this.id);
  }

  /** Once the server can be reached: shows the lost turn, or resumes it. Sends no question again. */
  async #lookForLost(lost) {
    const { visit } = this.#loading;
    const messages = await this.messages().catch(asFailure);
    if (visit !== this.#loading.visit || this.isBusy || this.#lost.of(this.id)?.id !== lost.id) return;
    if (!Array.isArray(messages)) this.#lost.lookLater(this.id, () => this.look());
    else if (isKept(lost, messages)) await this.#showKept(lost);
    else await this.#play({ conversation: this.id, ...lost });
  }

  /** It ended while this page was not connected. */
  async #showKept(lost) {
    this.#composer.takeBack(lost.question);
    this.#lost.found(lost.id);
    this.#loading.forget();
    await this.show();
    showStatus('The response was completed while you were disconnected.');
  }

  #showNotLoaded(failure) {
    if (!this.isBusy && turnUnderWay(this.id)?.id === '') this.#unanswered.giveUp(this.id, { isHere: false });
    showStatus('');
    const run = () => this.show();
    const [label, meanwhile] = failure.status === 401 ? ['Enter a key', ''] : ['Load again', 'Loading again'];
    this.#notice.showFailure(failure, { label, run, meanwhile });
  }

  async #play(asked) {
    const { conversation, question, replaces, isContinued, key } = asked;
    const playing = new Playing(asked, this.#on.onNamed);
    const turn = new Turn(this.#api, asked, playing.handlers(() => turn));
    this.#setTurn(turn);
    this.#notice.clear();
    this.#on.onBegin();
    showStatus('Generating…');
    keepAsked(asked);
    let [state, failure] = ['complete', null];
    try {
      await unlessAborted(Promise.all([this.#stopping.done, this.#loading.load()]), turn.signal);
      noteTurn(conversation, key, { after: this.#view.lastTurn });
      const place = this.#lost.placeOf(this.#lost.has(turn.id) ? turn.id : replaces);
      playing.shown = this.#view.beginTurn(question, { turn: turn.id, replaces: place, isContinued: isContinued && place === replaces });
      await turn.run(...this.#loading.forgetNewest(turn));
    } catch (error) {
      state = turn.isOver ? 'stopped' : 'failed';
      failure = turn.isOver ? null : asFailure(error);
    }
    if (this.#turn !== turn) return; // another conversation is shown
    const { shown } = playing;
    if (shown) await this.#end({ turn, asked, shown, state, failure, known: playing.known(turn) });
    else this.#giveUp({ turn, asked, state, failure });
  }

  async #end({ turn, asked, shown, state, failure, known }) {
    const { answer } = shown;
    const kept = await this.#loading.kept(turn);
    if (this.#turn !== turn) return;
    if (!failure || !isLost(failure)) forgetTurn(asked.conversation);
    const end = kept ?? { content: answer.text, state, isKept: state === 'complete', ...known };
    if (end.content !== answer.text) answer.replace(end.content);
    if (end.state !== 'complete' && answer.text === shown.before) {
      shown.withdraw();
      this.#endWithoutText({ turn, asked, state, failure: gone(failure) });
      return;
    }
    this.#lost.found(turn.id);
    shown.settle();
    answer.end(end.state, end);
    if (end.isKept) this.#loading.newest = turn.id;
    this.#setTurn(null);
    if (state === 'failed') this.#lost.add(turn.id, asked.replaces);
    if (end.state === 'complete') this.#report(statusOfEnd(end.state, end), null);
    else this.#report(statusOfEnd(state), gone(failure), { ...asked, replaces: turn.id });
  }

  /** A lost turn is shown as before, or sent again if the user wants that and the server does not have it. */
  #endWithoutText(ended) {
    const { turn, asked, failure } = ended;
    const again = { ...asked, replaces: asked.isContinued ? asked.replaces : turn.id };
    const isAskedAnew = asked.isWanted && failure?.code === 'lost';
    const isShown = this.#view.has(turn.id);
    if (asked.isFollowed) forgetTurn(asked.conversation); // it belongs to the other tab
    if (isAskedAnew || isShown || asked.isFollowed) this.#setTurn(null);
    else this.#giveUp(ended);
    if (isAskedAnew) this.#askAgain(again);
    else if (isShown) this.#report(statusOfEnd(ended.state), failure, again);
  }

  /** There is no response: the question becomes a draft again. A response that the server has all the same is replaced. */
  #giveUp({ turn, asked, state, failure }) {
    const isOpen = failure !== null && (turn.id ? isLost(failure) : isUnconfirmed(failure));
    if (failure !== null && !isOpen && !turn.id) this.#loading.newest = turn.follows; // the server did not accept it
    if (isOpen) this.#unanswered.giveUp(asked.conversation);
    else this.#unanswered.refuse(asked, failure?.code === 'conversation_changed');
    if (isOpen && turn.id) this.#lost.add(turn.id, asked.replaces);
    this.#setTurn(null);
    this.#report(statusOfEnd(state), failure, isOpen && turn.id ? { ...asked, replaces: turn.id } : asked);
  }

  #report(status, failure, asked) {
    showStatus(status);
    this.#on.onTurn();
    if (this.#loading.newest === null && this.#lost.of(this.id) === null) this.#stopping.done.then(() => this.look());
    if (!failure) return;
    const lost = isLost(failure) ? this.#lost.of(this.id) : null;
    if (lost) this.#lost.lookLater(this.id, () => this.look());
    const run = () => (lost ? this.#play({ conversation: this.id, ...lost, isWanted: true }) : this.#askAgain(asked));
    this.#notice.showFailure(failure, FINAL.has(failure.code) ? null : { label: 'Try again', run });
    if (failure.code === 'conversation_changed') this.#showChanged(asked);
  }

  /** Shows the server's messages; a question that was to be asked again and is not among them becomes the draft. */
  async #showChanged({ conversation, question, replaces, isShown, isContinued }) {
    await this.#loading.again((unloaded) => this.#notice.showFailure(unloaded));
    if (!isShown || isContinued || conversation !== this.id) return;
    if (this.#loading.newest === '' || !this.#view.has(replaces)) this.#composer.giveBack(question);
  }

  #askAgain({ question, replaces, isShown, isContinued }) {
    this.#composer.takeBack(question);
    if (this.#lost.has(replaces)) this.#stopping.waitFor(this.#api.stop(replaces).catch(() => {})); // it may still be running
    this.ask({ text: question, replaces, isShown, isContinued });
  }

  /** A question that the server did not accept becomes the draft of its conversation again. */
  #leave() {
    const { id } = this;
    const turn = this.#turn;
    this.#setTurn(null);
    turn.leave().then(() => {
      const isAskedAgain = this.#turn?.key === turn.key;
      if (!turn.id && !isAskedAgain && turnUnderWay(id)?.key === turn.key) this.#unanswered.giveUp(id, { isHere: id === this.id && this.#loading.visit.isShown });
    });
  }

  #setTurn(turn) {
    this.#turn = turn;
    for (const part of [this.#composer, this.#view]) part.setBusy(this.isBusy);
  }
}
