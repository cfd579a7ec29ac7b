/**
 * The conversation as DOM: its messages, and the turn that is under way.
 *
 * It must never touch the network, or take away what another turn replaces before that one has said something.
 */

import { copy } from './clipboard.js';
import { toggleWrap } from './code.js';
import { EditForm } from './edit.js';
import { element } from './elements.js';
import { endOf, stateOf } from './endings.js';
import { Follow } from './follow.js';
import { Answer, bodyOf, questionElement } from './message.js';
import { measured } from './pace.js';
import { follow, once, responsesTo } from './variants.js';

const NOTHING = 'Ask anything to start.';
const UNKNOWN = 'This conversation was not found. It may have been deleted, or lost when the server restarted. A new message starts it again.';
const FORGOTTEN = 'The server no longer has the messages above: they were deleted, or lost when it restarted. The model will not see them.';

/** What the model is told, where its answer is to go on. */
const GO_ON = 'Continue exactly where your last answer stopped. Repeat nothing of it.';

export class ConversationView {
  #messages = document.querySelector('#messages');
  #empty = document.querySelector('#empty');
  #follow = new Follow(document.querySelector('#log'), document.querySelector('#to-end'));
  #said = new WeakMap(); // of each message's element, the text that it says
  #on;

  /**
   * @param on { ask({ text, replaces, isShown, isContinued }) }: the reader asks again, or differently; `isShown`: the
   *   question is there already; `isContinued`: its answer is to go on. Says whether that is possible now. { dropEdit(turn) }: he does not want to after all.
   *   { keep(text) }: he was writing this where the place is gone.
   */
  constructor(on) {
    this.#on = on;
    document.querySelector('#log').addEventListener('click', (event) => this.#onClick(event));
  }

  get isEmpty() {
    return this.#messages.childElementCount === 0;
  }

  /** While a turn is under way, nothing can be asked again or edited. */
  setBusy(busy) {
    this.#messages.toggleAttribute('data-busy', busy);
  }

  /** Shows nothing, and does not say that there is nothing. */
  clear() {
    this.#messages.replaceChildren();
    this.#empty.hidden = true;
  }

  /** The id of the last turn that is shown; '' where there is none. */
  get lastTurn() {
    return this.#messages.lastElementChild?.dataset.turn ?? '';
  }

  /** Whether the reader is changing a message that is shown. */
  get isEditing() {
    return this.#messages.querySelector('.edit') !== null;
  }

  /** The server does not have any more what is shown: it stays to be read, and the model is not sent it. */
  markForgotten() {
    const known = [...this.#messages.querySelectorAll('.message:not([data-forgotten])')];
    if (known.length === 0) return;
    for (const message of known) message.toggleAttribute('data-forgotten', true);
    this.#messages.append(element('p', 'forgotten', FORGOTTEN));
    this.#follow.keep();
  }

  /** Shows the server's messages in place of all others; `isUnknown`: the server has no such conversation. */
  showHistory(messages, { isUnknown = false } = {}) {
    this.#empty.textContent = isUnknown ? UNKNOWN : NOTHING;
    this.#messages.replaceChildren(...messages.filter(isShown).map((message) => this.#kept(message)));
    this.#changed();
    this.#follow.toEnd();
  }

  /**
   * Shows a question and an answer about to come, in the place of the turn `replaces` and of all after it. With
   * `isContinued` they are that turn's own, and its answer goes on: `before` is what it said.
   */
  beginTurn(text, { turn = '', replaces = null, isContinued = false } = {}) {
    const hidden = replaces ? this.#from(replaces) : [];
    const [question, before] = isContinued && hidden.length > 1 ? hidden.map((each) => this.#said.get(each) ?? '') : [text, ''];
    for (const message of hidden) message.hidden = true;
    const earlier = this.#earlier(hidden, question, isContinued);
    const asked = questionElement(question, turn);
    const answer = new Answer(turn, () => {
      if (answer.text) this.#said.set(answer.element, answer.text);
      this.#follow.keep();
    });
    this.#said.set(asked, question);
    this.#messages.append(asked, answer.element);
    this.#changed();
    if (before) answer.append(before);
    this.#follow.toEnd();
    return {
      answer,
      before,
      name: (id) => (asked.dataset.turn = answer.element.dataset.turn = id),
      /** What it replaced is gone. */
      settle: () => {
        if (earlier.length > 0) follow(earlier.splice(0), answer.element);
        hidden.splice(0).forEach((message) => this.#replaced(message, question));
      },
      /** It came to nothing: all is as before. */
      withdraw: () => {
        asked.remove();
        answer.remove();
        for (const message of hidden) message.hidden = false;
        this.#changed();
      },
    };
  }

  #kept(message) {
    const { role, content, turn = '', created } = message;
    if (role === 'user') {
      const question = questionElement(content, turn, created ?? NaN);
      this.#said.set(question, content);
      return question;
    }
    const answer = this.#ended(message, turn);
    const earlier = (message.variants ?? []).map((variant) => once(() => this.#ended(variant, turn)));
    if (earlier.length > 0) follow(earlier, answer);
    return answer;
  }

  /** The element of a response that the server has. */
  #ended(message, turn) {
    const { content, created, model, ttft_s: ttft, tokens_per_s: rate } = message;
    const answer = new Answer(turn);
    if (message.reasoning) answer.think(message.reasoning);
    answer.append(content);
    answer.end(stateOf(message), { model, pace: measured(ttft, rate), ...endOf(message), thoughtS: message.thought_s ?? null, atS: created ?? NaN });
    this.#said.set(answer.element, content);
    return answer.element;
  }

  /** The responses to the same question before the one that is to come in the place of the `replaced` messages. */
  #earlier([question, answer], text, isContinued) {
    if (!answer?.matches('.assistant') || this.#said.get(question) !== text) return [];
    return isContinued ? responsesTo(answer).slice(0, -1) : [...responsesTo(answer)];
  }

  /** The messages of a turn and all after it. */
  #from(turn) {
    const all = [...this.#messages.children].filter((message) => !message.hidden);
    const first = all.findIndex((message) => message.dataset.turn === turn);
    return first < 0 ? [] : all.slice(first);
  }

  #onClick(event) {
    const pressed = event.target.closest('button');
    const message = pressed?.closest('.message');
    if (!message) return;
    if (pressed.dataset.copy === 'code') copy(pressed.closest('figure').querySelector('code').textContent, pressed);
    else if ('wrap' in pressed.dataset) toggleWrap(pressed);
    else if (pressed.dataset.action === 'copy') copy(this.#said.get(message) ?? '', pressed);
    else if (pressed.dataset.action === 'edit') this.#edit(message, this.#said.get(message));
    else if (pressed.dataset.action === 'again') this.#askAgain(message);
    else if (pressed.dataset.action === 'continue') this.#continue(message);
  }

  #askAgain(answer) {
    const { turn } = answer.dataset;
    const question = this.#from(turn).find((message) => message.dataset.turn === turn && message !== answer);
    if (question) this.#on.ask({ text: this.#said.get(question), replaces: turn, isShown: true });
  }

  #continue({ dataset }) {
    this.#on.ask({ text: GO_ON, replaces: dataset.turn, isShown: true, isContinued: true });
  }

  /** A message is gone; what was being written in its place is not. */
  #replaced(message, question) {
    const written = message.querySelector('.edit textarea')?.value ?? question;
    if (written !== question && written !== this.#said.get(message)) this.#on.keep(written);
    message.remove();
  }

  has(turn) {
    return this.#from(turn).length > 0;
  }

  /** Lets the question of a turn be edited, beginning with `text`; says whether it is there. */
  edit(turn, text) {
    const message = this.#from(turn).find((each) => each.matches('.user'));
    if (message) this.#edit(message, text);
    return message !== undefined;
  }

  #edit(message, text) {
    EditForm.removeFrom(message);
    const form = new EditForm(text, {
      send: (changed) => {
        if (this.#on.ask({ text: changed, replaces: message.dataset.turn })) form.remove();
      },
      close: () => this.#on.dropEdit(message.dataset.turn),
    });
    form.open(message, bodyOf(message));
  }

  #changed() {
    this.#empty.hidden = !this.isEmpty;
    this.#follow.keep();
  }
}

function isShown({ role, content }) {
  return (role === 'user' || role === 'assistant') && typeof content === 'string';
}
