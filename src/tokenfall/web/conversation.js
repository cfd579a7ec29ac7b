/**
 * The conversation that is shown: loads it, and plays one turn of it at a time.
 *
 * A turn has exactly one end: complete (`[DONE]` was read), stopped (by the reader), left (another conversation is
 * shown) or failed (all else). It must never show a failed answer as complete, lose a message that failed, or run two
 * turns at once.
 */

import { statusOfEnd } from './endings.js';
import { asFailure, gone } from './failures.js';
import { Loading } from './loading.js';
import { LostTurns } from './lost.js';
import { showStatus } from './notice.js';
import { Playing } from './playing.js';
import { Stopping } from './stopping.js';
import { isLost, isUnheard, Turn } from './turn.js';
import { Unanswered } from './unanswered.js';
import { forgetTurn, isKept, keepAsked, noteTurn, turnUnderWay } from './underway.js';
import { unlessAborted } from './waiting.js';

const FINAL = new Set(['body_too_large', 'conversation_changed']); // asking the same once more cannot mend it

export class Conversation {
  #api;
  #view;
  #composer;
  #notice;
  #onBegin;
  #onNamed;
  #onTurn;
  #turn = null; // the Turn that is played
  #loading;
  #stopping;
  #lost;
  #unanswered;

  /**
   * @param parts api, view, composer, notice; onBegin(), called when a turn begins, onNamed(), when the server has named
   *   it, onTurn(), when the server may list what it did not
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
    this.#onBegin = onBegin;
    this.#onNamed = onNamed;
    this.#onTurn = onTurn;
    this.id = '';
  }

  /** What is being answered, if anything is. */
  get question() {
    return this.#turn?.question ?? '';
  }

  get isBusy() {
    return this.#turn !== null;
  }

  /** Shows another conversation, of which a new one has nothing; the server goes on with a turn of the one before. */
  async open(id, { isNew = false } = {}) {
    if (this.isBusy) this.#leave();
    this.id = id;
    this.#composer.setConversation(id);
    this.#loading.begin(id, { isNew });
    showStatus('');
    await this.show();
  }

  /** Shows what the server has of it, and comes back to a turn that was under way. */
  async show() {
    const { visit } = this.#loading;
    this.#notice.clear();
    try {
      const messages = await this.#loading.load();
      this.#onTurn();
      if (visit === this.#loading.visit && !this.isBusy) await this.#comeBack(messages);
    } catch (error) {
      if (visit !== this.#loading.visit) return;
      this.#onTurn();
      this.#tellNotLoaded(asFailure(error));
    }
  }

  /**
   * Asks `text`, in the place of the turn `replaces` if there is one; says whether it could. What `isShown` in that turn
   * is not given back when nothing comes of it. `isContinued`: it tells the model to go on with that turn's answer. `options`:
   * those of this question only.
   */
  ask({ text: question, replaces = null, isShown = false, isContinued = false, options = null }) {
    if (this.isBusy || this.#isToComeBack()) return false;
    const [key, instead] = [this.#unanswered.keyFor(this.id, { question, replaces }), this.#lost.replacedBy(replaces)];
    const mayBeGone = instead !== undefined && !isContinued;
    const more = { ...(isContinued && { isContinued }), ...(options && { options }), isRepeated: turnUnderWay(this.id)?.key === key };
    this.#play({ conversation: this.id, question, replaces, isShown, mayBeGone, instead, key, ...more });
    return true;
  }

  /** Shows what another tab has asked, as it comes. */
  follow({ conversation, ...asked }) {
    if (conversation !== this.id || this.isBusy || this.#view.isEditing || this.#view.has(asked.id)) return;
    this.#play({ ...asked, conversation, isFollowed: true });
  }

  dropEdit(turn) {
    this.#unanswered.drop(this.id, turn);
  }

  /** A turn is under way that is not shown yet: another would take its place. */
  #isToComeBack() {
    const left = turnUnderWay(this.id);
    if (!left?.id || left.isGivenUp || this.#lost.has(left.id)) return false;
    if (!this.#loading.isBegun) this.show();
    showStatus('A response is still loading.');
    return true;
  }

  /** Stops the answer at once. */
  stop() {
    if (this.isBusy && !this.#turn.isOver) this.#stopping.stop(this.#turn);
  }

  /** Stops what is under way, and returns once the server has ended it. */
  async rest() {
    this.stop();
    await this.#stopping.done;
  }

  messages() {
    return this.#api.history(this.id).then((found) => found ?? []);
  }

  /** The page is looked at again: shows what came meanwhile. Without the server the page goes on as it is. */
  async look() {
    if (this.isBusy || this.#view.isEditing) return;
    const lost = this.#lost.of(this.id);
    const hasChanged = await (lost ? this.#lookForLost(lost) : this.#loading.look().catch(asFailure));
    if (hasChanged === true) this.#tell('This conversation was changed elsewhere. It is shown as it is now.', null);
  }

  /** To the turn that a reload, or a look at another conversation, left. */
  async #comeBack(messages) {
    const left = turnUnderWay(this.id);
    if (left === null) return;
    if (left.isGivenUp && (left.id || isKept(left, messages))) this.#composer.takeBack(left.question);
    if (isKept(left, messages)) {
      forgetTurn(this.id);
      showStatus(''); // that it was waited for
    } else if (left.id) await this.#play({ conversation: this.id, ...left });
    else if (left.isGivenUp) this.#unanswered.reopen(this.id);
    else this.#unanswered.giveUp(this.id);
  }

  /** Once the server can be reached: shows what it has of the lost turn, or goes on with it. It asks nothing anew. */
  async #lookForLost(lost) {
    const { visit } = this.#loading;
    const messages = await this.messages().catch(asFailure);
    if (visit !== this.#loading.visit || this.isBusy || this.#lost.of(this.id)?.id !== lost.id) return;
    if (!Array.isArray(messages)) this.#lost.lookLater(this.id, () => this.look());
    else if (isKept(lost, messages)) await this.#showKept(lost);
    else await this.#play({ conversation: this.id, ...lost });
  }

  /** It ended while nobody here could hear it. */
  async #showKept(lost) {
    this.#composer.takeBack(lost.question);
    this.#lost.found(lost.id);
    this.#loading.forget();
    await this.show();
    showStatus('The response was completed while you were disconnected.');
  }

  #tellNotLoaded(failure) {
    if (!this.isBusy && turnUnderWay(this.id)?.id === '') this.#unanswered.giveUp(this.id, { isHere: false });
    showStatus('');
    const run = () => this.show();
    const [label, meanwhile] = failure.status === 401 ? ['Enter a key', ''] : ['Load again', 'Loading again'];
    this.#notice.showFailure(failure, { label, run, meanwhile });
  }

  async #play(asked) {
    const { conversation, question, replaces, isContinued, key } = asked;
    const playing = new Playing(asked, this.#onNamed);
    const turn = new Turn(this.#api, asked, playing.tell(() => turn));
    this.#begin(turn);
    keepAsked(asked);
    let [state, failure] = ['complete', null];
    try {
      await unlessAborted(Promise.all([this.#stopping.done, this.#loading.load()]), turn.signal);
      noteTurn(conversation, key, { after: this.#view.lastTurn });
      const place = this.#lost.placeOf(this.#lost.has(turn.id) ? turn.id : replaces);
      playing.shown = this.#view.beginTurn(question, { turn: turn.id, replaces: place, isContinued: isContinued && place === replaces });
      const follows = this.#loading.newest;
      this.#loading.newest = null; // until it is known how this one ends
      await turn.run(follows);
    } catch (error) {
      state = turn.isOver ? 'stopped' : 'failed';
      failure = turn.isOver ? null : asFailure(error);
    }
    if (this.#turn !== turn) return; // another conversation is shown
    const { shown } = playing;
    if (shown) await this.#end({ turn, asked, shown, state, failure, told: playing.told(turn) });
    else this.#giveUp({ turn, asked, state, failure });
  }

  async #end({ turn, asked, shown, state, failure, told }) {
    const { answer } = shown;
    const kept = await this.#loading.kept(turn);
    if (this.#turn !== turn) return;
    if (!failure || !isLost(failure)) forgetTurn(asked.conversation);
    const end = kept ?? { content: answer.text, state, isKept: state === 'complete', ...told };
    if (end.content !== answer.text) answer.replace(end.content);
    if (end.state !== 'complete' && answer.text === shown.before) {
      shown.withdraw();
      this.#cameToNothing({ turn, asked, state, failure: gone(failure) });
      return;
    }
    this.#lost.found(turn.id);
    shown.settle();
    answer.end(end.state, end);
    if (end.isKept) this.#loading.newest = turn.id;
    this.#finish();
    if (state === 'failed') this.#lost.add(turn.id, asked.replaces);
    if (end.state === 'complete') this.#tell(statusOfEnd(end.state, end), null);
    else this.#tell(statusOfEnd(state), gone(failure), { ...asked, replaces: turn.id });
  }

  /** A turn that was lost is shown as before, or asked anew where the reader wants that and the server has nothing of it. */
  #cameToNothing(ended) {
    const { turn, asked, failure } = ended;
    const again = { ...asked, replaces: asked.isContinued ? asked.replaces : turn.id };
    const isAskedAnew = asked.isWanted && failure?.code === 'lost';
    const isShown = this.#view.has(turn.id);
    if (asked.isFollowed) forgetTurn(asked.conversation); // it is the other tab's
    if (isAskedAnew || isShown || asked.isFollowed) this.#finish();
    else this.#giveUp(ended);
    if (isAskedAnew) this.#askAgain(again);
    else if (isShown) this.#tell(statusOfEnd(ended.state), failure, again);
  }

  /** Nothing came of it: the question is the reader's again. What the server may have made of it all the same gives way. */
  #giveUp({ turn, asked, state, failure }) {
    const isOpen = failure !== null && (turn.id ? isLost(failure) : isUnheard(failure));
    if (failure !== null && !isOpen && !turn.id) this.#loading.newest = turn.follows; // the server took nothing
    if (isOpen) this.#unanswered.giveUp(asked.conversation);
    else this.#unanswered.refuse(asked, failure?.code === 'conversation_changed');
    if (isOpen && turn.id) this.#lost.add(turn.id, asked.replaces);
    this.#finish();
    this.#tell(statusOfEnd(state), failure, isOpen && turn.id ? { ...asked, replaces: turn.id } : asked);
  }

  #tell(status, failure, asked) {
    showStatus(status);
    this.#onTurn();
    if (!failure) return;
    const lost = isLost(failure) ? this.#lost.of(this.id) : null;
    if (lost) this.#lost.lookLater(this.id, () => this.look());
    const run = () => (lost ? this.#play({ conversation: this.id, ...lost, isWanted: true }) : this.#askAgain(asked));
    this.#notice.showFailure(failure, FINAL.has(failure.code) ? null : { label: 'Try again', run });
    if (failure.code === 'conversation_changed') this.#loading.again((unloaded) => this.#notice.showFailure(unloaded));
  }

  #askAgain({ question, replaces, isShown, isContinued }) {
    this.#composer.takeBack(question);
    if (this.#lost.has(replaces)) this.#stopping.waitFor(this.#api.stop(replaces).catch(() => {})); // it may still go on
    this.ask({ text: question, replaces, isShown, isContinued });
  }

  /** What the server did not take is the draft of its conversation again. */
  #leave() {
    const { id } = this;
    const turn = this.#turn;
    this.#finish();
    turn.leave().then(() => {
      const isAskedAgain = this.#turn?.key === turn.key;
      if (!turn.id && !isAskedAgain && turnUnderWay(id)?.key === turn.key) this.#unanswered.giveUp(id, { isHere: id === this.id && this.#loading.visit.isShown });
    });
  }

  #begin(turn) {
    this.#setTurn(turn);
    this.#notice.clear();
    this.#onBegin();
    showStatus('Generating…');
  }

  #finish() {
    this.#setTurn(null);
  }

  #setTurn(turn) {
    this.#turn = turn;
    for (const part of [this.#composer, this.#view]) part.setBusy(this.isBusy);
  }
}
