/**
 * The conversation that is shown: loads it, and plays one turn of it at a time.
 *
 * A turn has exactly one end: complete (`[DONE]` was read), stopped (by the reader), left (another conversation is
 * shown) or failed (all else). It must never show a failed answer as complete, lose a message that failed, or run two
 * turns at once.
 */

import { answerKept, endOf, statusOfEnd } from './endings.js';
import { asFailure, gone } from './failures.js';
import { Loading } from './loading.js';
import { showStatus } from './notice.js';
import { Pace } from './pace.js';
import { isLost, isUnheard, Turn } from './turn.js';
import { Unanswered } from './unanswered.js';
import { forgetTurn, isKept, keepTurn, noteTurn, turnUnderWay } from './underway.js';
import { unlessAborted } from './waiting.js';

const FINAL = new Set(['body_too_large', 'conversation_changed']); // asking the same once more cannot mend it
const STOPPED_MS = 4000; // the next question waits so long for the server to end what was stopped

export class Conversation {
  #api;
  #view;
  #composer;
  #notice;
  #onBegin;
  #onTurn;
  #turn = null; // the Turn that is played
  #loading;
  #stopping = Promise.resolve(); // until the server has ended what was stopped
  #broken = new Map(); // turns that the server may not have, and what each was asked in the place of
  #unanswered;

  /**
   * @param parts api, view, composer, notice; onBegin(), called when a turn begins, onTurn(), when the server may list
   *   what it did not
   */
  constructor({ api, view, composer, notice, onBegin = () => {}, onTurn }) {
    this.#api = api;
    this.#view = view;
    this.#composer = composer;
    this.#unanswered = new Unanswered({ composer, view });
    this.#loading = new Loading({ api, view });
    this.#notice = notice;
    this.#onBegin = onBegin;
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
   * is not given back when nothing comes of it. `isContinued`: it tells the model to go on with that turn's answer.
   */
  ask({ text: question, replaces = null, isShown = false, isContinued = false }) {
    if (this.isBusy || this.#isToComeBack()) return false;
    const { id: conversation } = this;
    const key = this.#unanswered.keyFor(conversation, { question, replaces });
    const instead = this.#broken.get(replaces);
    const mayBeGone = instead !== undefined && !isContinued;
    this.#play({ conversation, question, replaces, isShown, mayBeGone, instead, key, ...(isContinued && { isContinued }) });
    return true;
  }

  /** What was edited here is not to be asked any more. */
  dropEdit(turn) {
    this.#unanswered.drop(this.id, turn);
  }

  /** A turn is under way that is not shown yet: another would take its place. */
  #isToComeBack() {
    const left = turnUnderWay(this.id);
    if (!left?.id || left.isGivenUp || this.#broken.has(left.id)) return false;
    if (!this.#loading.isBegun) this.show();
    showStatus('An answer is still being loaded.');
    return true;
  }

  /** Stops the answer at once. */
  stop() {
    if (this.isBusy && !this.#turn.isOver) this.#stop(this.#turn);
  }

  #stop(turn) {
    const stopped = turn.stop().catch((error) => {
      if (error.name === 'AbortError') return;
      this.#notice.showFailure(asFailure(error), { label: 'Stop again', run: () => this.#stopAgain(turn) });
    });
    this.#stopping = Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, STOPPED_MS))]);
  }

  #stopAgain(turn) {
    this.#notice.clear();
    this.#stop(turn);
  }

  /** Stops what is under way, and returns once the server has ended it. */
  async rest() {
    this.stop();
    await this.#stopping;
  }

  async messages() {
    return (await this.#api.history(this.id)) ?? [];
  }

  /** The page is looked at again: shows what came meanwhile. Without the server the page goes on as it is. */
  async look() {
    if (this.isBusy || this.#view.isEditing) return;
    const hasChanged = await this.#loading.look().catch(asFailure);
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

  #tellNotLoaded(failure) {
    if (!this.isBusy && turnUnderWay(this.id)?.id === '') this.#unanswered.giveUp(this.id, { isHere: false });
    showStatus('');
    const run = () => this.show();
    const [label, meanwhile] = failure.status === 401 ? ['Enter a key', ''] : ['Load again', 'Loading again'];
    this.#notice.showFailure(failure, { label, run, meanwhile });
  }

  async #play(asked) {
    const { conversation, question, replaces, isShown, isContinued, key } = asked;
    const pace = new Pace();
    const about = { model: asked.model ?? '', reason: '', tokens: 0 };
    let shown = null;
    const turn = new Turn(this.#api, asked, {
      onSend: () => pace.start(),
      onBegin: ({ turn: id, model }) => {
        about.model = model;
        shown.name(id);
        if (!turn.isStopped) noteTurn(conversation, key, { id, model });
      },
      onToken: (text) => {
        pace.countToken();
        shown.settle();
        shown.answer.append(text);
      },
      onThought: (text, isAgain) => shown.answer.think(text, isAgain),
      onFinish: (end) => Object.assign(about, endOf(end)),
      onLost: () => showStatus('Connection lost. Reconnecting…'),
      onBack: () => showStatus('Generating…'),
    });
    this.#begin(turn);
    const left = { key, question, replaces, isShown, ...(isContinued && { isContinued }) };
    keepTurn(conversation, { ...left, after: null, id: turn.id, isGivenUp: false });
    let [state, failure] = ['complete', null];
    try {
      await unlessAborted(Promise.all([this.#stopping, this.#loading.load()]), turn.signal);
      noteTurn(conversation, key, { after: this.#view.lastTurn });
      shown = this.#view.beginTurn(question, { turn: turn.id, replaces: this.#placeOf(replaces), isContinued });
      const follows = this.#loading.newest;
      this.#loading.newest = null; // until it is known how this one ends
      await turn.run(follows);
    } catch (error) {
      state = turn.isOver ? 'stopped' : 'failed';
      failure = turn.isOver ? null : asFailure(error);
    }
    if (this.#turn !== turn) return; // another conversation is shown
    if (shown) await this.#end({ turn, asked, shown, state, failure, told: { ...about, pace: turn.cameBack ? '' : pace.summary } });
    else this.#giveUp({ turn, asked, state, failure });
  }

  async #end({ turn, asked, shown, state, failure, told }) {
    const { answer } = shown;
    const kept = await this.#kept(turn);
    if (this.#turn !== turn) return;
    if (!failure || !isLost(failure)) forgetTurn(asked.conversation);
    const end = kept ?? { content: answer.text, state, isKept: state === 'complete', ...told };
    if (end.content !== answer.text) answer.replace(end.content);
    if (end.state !== 'complete' && answer.text === shown.before) {
      shown.withdraw();
      this.#giveUp({ turn, asked, state, failure: gone(failure) });
      return;
    }
    shown.settle();
    answer.end(end.state, end);
    if (end.isKept) this.#loading.newest = turn.id;
    this.#finish();
    if (state === 'failed') this.#broken.set(turn.id, asked.replaces);
    if (end.state === 'complete') this.#tell(statusOfEnd(end.state, end), null);
    else this.#tell(statusOfEnd(state), gone(failure), { ...asked, replaces: turn.id });
  }

  /** Nothing came of it: the question is the reader's again. What the server may have made of it all the same gives way. */
  #giveUp({ turn, asked, state, failure }) {
    const isOpen = failure !== null && (turn.id ? isLost(failure) : isUnheard(failure));
    if (failure !== null && !isOpen && !turn.id) this.#loading.newest = turn.follows; // the server took nothing
    if (isOpen) this.#unanswered.giveUp(asked.conversation);
    else this.#unanswered.refuse(asked, failure?.code === 'conversation_changed');
    if (isOpen && turn.id) this.#broken.set(turn.id, asked.replaces);
    this.#finish();
    this.#tell(statusOfEnd(state), failure, isOpen && turn.id ? { ...asked, replaces: turn.id } : asked);
  }

  /** The turn whose place that of `turn` is, where that was lost and is not shown. */
  #placeOf(turn) {
    const isLostHere = turn !== null && this.#broken.has(turn) && !this.#view.has(turn);
    return isLostHere ? this.#placeOf(this.#broken.get(turn)) : turn;
  }

  #tell(status, failure, { question, replaces, isShown, isContinued } = {}) {
    showStatus(status);
    this.#onTurn();
    if (!failure) return;
    const run = () => {
      this.#composer.takeBack(question);
      if (this.#broken.has(replaces)) this.#stopping = this.#api.stop(replaces).catch(() => {}); // it may still go on
      this.ask({ text: question, replaces, isShown, isContinued });
    };
    this.#notice.showFailure(failure, FINAL.has(failure.code) ? null : { label: 'Try again', run });
    if (failure.code !== 'conversation_changed') return;
    const { visit } = this.#loading;
    this.#loading.again().catch((error) => {
      if (visit === this.#loading.visit) this.#notice.showFailure(asFailure(error));
    });
  }

  /** What ended while nobody listened is told by the history. */
  async #kept(turn) {
    if (!turn.cameBack || turn.isOver) return null;
    return answerKept(await unlessAborted(this.messages(), turn.signal).catch(() => []), turn.id);
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
    this.#turn = turn;
    this.#setBusy(true);
    this.#notice.clear();
    this.#onBegin();
    showStatus('Generating…');
  }

  #finish() {
    this.#turn = null;
    this.#setBusy(false);
  }

  #setBusy(busy) {
    this.#composer.setBusy(busy);
    this.#view.setBusy(busy);
  }
}
