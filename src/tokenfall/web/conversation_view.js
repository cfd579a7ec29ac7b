/**
 * The messages of the conversation as DOM.
 *
 * It must never touch the network, or remove a turn before the one that replaces it has text.
 */

import { AutoScroll } from './auto_scroll.js';
import { copy } from './clipboard.js';
import { toggleWrap } from './code_block.js';
import { ContextMark } from './context_mark.js';
import { EditForm } from './edit_form.js';
import { element, find } from './elements.js';
import { bodyOf, questionElement, ResponseView } from './message.js';
import { storedEnd } from './response_end.js';
import { addVariants, lazy, responsesTo } from './variants.js';

const NOTHING = 'Ask anything to start.';
const UNKNOWN = 'This conversation was not found: it was deleted, lost when the server restarted, or belongs to another API key. A new message starts a new one.';
const FORGOTTEN = 'The server no longer has the messages above: they were deleted, or lost when it restarted. The model will not see them.';

/** The message that asks the model to continue its response. */
const GO_ON = 'Continue exactly where your last answer stopped. Repeat nothing of it.';

export class ConversationView {
  #messages = find('#messages');
  #empty = find('#empty');
  #scroll = new AutoScroll(find('#log'), this.#messages, find('#to-end'));
  #texts = new WeakMap(); // by message element
  #context = new ContextMark(this.#messages);
  #on;

  /**
   * @param on ask({ text, replaces, isShown, isContinued }): the user edits a question, or (`isShown`) regenerates or
   *   (`isContinued`) continues its response; returns false if that is not possible now. cancelEdit(turn);
   *   restoreDraft(text): an unsent edit of a message that was removed
   */
  constructor(on) {
    this.#on = on;
    find('#log').addEventListener('click', (event) => this.#onClick(event));
  }

  get isEmpty() {
    return this.#messages.childElementCount === 0;
  }

  /** While busy, no message can be regenerated or edited. */
  setBusy(busy) {
    this.#messages.toggleAttribute('data-busy', busy);
  }

  /** Shows neither messages nor the text for an empty conversation. */
  clear() {
    this.#messages.replaceChildren();
    this.#context.set(null);
    this.#empty.hidden = true;
  }

  /** The id of the last turn on the page, '' without one. */
  get lastTurn() {
    return this.#messages.lastElementChild?.dataset.turn ?? '';
  }

  /** Whether the user is editing a message. */
  get isEditing() {
    return this.#messages.querySelector('.edit') !== null;
  }

  /** Marks messages that the server has lost: they stay visible but are not sent to the model. */
  markLost() {
    const known = [...this.#messages.querySelectorAll('.message:not([data-forgotten])')];
    if (known.length === 0) return;
    for (const message of known) message.toggleAttribute('data-forgotten', true);
    this.#messages.append(element('p', 'forgotten', FORGOTTEN));
    this.#scroll.update();
  }

  /** Marks the messages that the model will not receive; see context_mark.js. */
  markContext(context) {
    this.#context.set(context);
    this.#scroll.update();
  }

  /** Replaces all messages. `isUnknown`: the server has no such conversation. */
  showHistory(messages, { isUnknown = false } = {}) {
    this.#empty.textContent = isUnknown ? UNKNOWN : NOTHING;
    this.#messages.replaceChildren(...messages.filter(isShown).map((message) => this.#elementOf(message)));
    this.#context.place();
    this.#changed();
    this.#scroll.toEnd();
  }

  /**
   * Shows a question and an empty response in place of the turn `replaces` and all later ones. With `isContinued`, shows
   * that turn's own question and response, which continues after its text `before`.
   */
  beginTurn(text, { turn = '', replaces = null, isContinued = false } = {}) {
    const hidden = replaces ? this.#from(replaces) : [];
    const [question, before] = isContinued && hidden.length > 1 ? hidden.map((each) => this.#texts.get(each) ?? '') : [text, ''];
    for (const message of hidden) message.hidden = true;
    const earlier = this.#earlier(hidden, question, isContinued);
    const userMessage = questionElement(question, turn);
    const response = new ResponseView(turn, () => {
      if (response.text) this.#texts.set(response.element, response.text);
      this.#scroll.update();
    });
    this.#texts.set(userMessage, question);
    this.#messages.append(userMessage, response.element);
    this.#changed();
    if (before) response.append(before);
    this.#scroll.toEnd();
    return {
      response,
      before,
      name: (id) => (userMessage.dataset.turn = response.element.dataset.turn = id),
      /** Removes the replaced messages. */
      settle: () => {
        if (earlier.length > 0) addVariants(earlier.splice(0), response.element);
        hidden.splice(0).forEach((message) => this.#replaced(message, question));
      },
      /** Restores the replaced messages: there is no response. */
      withdraw: () => {
        userMessage.remove();
        response.remove();
        for (const message of hidden) message.hidden = false;
        this.#changed();
      },
    };
  }

  /** The element of a stored message. */
  #elementOf(message) {
    const { role, content, turn = '', created } = message;
    if (role === 'user') {
      const question = questionElement(content, turn, created ?? NaN);
      this.#texts.set(question, content);
      return question;
    }
    const response = this.#ended(message, turn);
    const earlier = (message.variants ?? []).map((variant) => lazy(() => this.#ended(variant, turn)));
    if (earlier.length > 0) addVariants(earlier, response);
    return response;
  }

  /** The element of a stored response. */
  #ended(message, turn) {
    const { content, reasoning } = message;
    const { state, ...end } = storedEnd(message);
    const response = new ResponseView(turn);
    if (reasoning) response.appendReasoning(reasoning);
    response.append(content);
    response.end(state, end);
    this.#texts.set(response.element, content);
    return response.element;
  }

  /** The earlier responses to the same question. */
  #earlier([question, response], text, isContinued) {
    if (!response?.matches('.assistant') || this.#texts.get(question) !== text) return [];
    return isContinued ? responsesTo(response).slice(0, -1) : [...responsesTo(response)];
  }

  /** The messages of a turn and of all later ones. */
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
    else if (pressed.dataset.action === 'copy') copy(this.#texts.get(message) ?? '', pressed);
    else if (pressed.dataset.action === 'edit') this.#edit(message, this.#texts.get(message));
    else if (pressed.dataset.action === 'again') this.#regenerate(message);
    else if (pressed.dataset.action === 'continue') this.#continue(message);
  }

  #regenerate(response) {
    const { turn } = response.dataset;
    const question = this.#from(turn).find((message) => message.dataset.turn === turn && message !== response);
    if (question) this.#on.ask({ text: this.#texts.get(question), replaces: turn, isShown: true });
  }

  #continue({ dataset }) {
    this.#on.ask({ text: GO_ON, replaces: dataset.turn, isShown: true, isContinued: true });
  }

  /** Removes a message; an unsent edit of it becomes the draft. */
  #replaced(message, question) {
    const edited = message.querySelector('.edit textarea')?.value ?? question;
    if (edited !== question && edited !== this.#texts.get(message)) this.#on.restoreDraft(edited);
    message.remove();
  }

  has(turn) {
    return this.#from(turn).length > 0;
  }

  /** Opens the question of a turn for editing, with `text`; returns false if it is not shown. */
  edit(turn, text) {
    const message = this.#from(turn).find((each) => each.matches('.user'));
    if (message) this.#edit(message, text);
    return message !== undefined;
  }

  #edit(message, text) {
    const form = new EditForm({ message, body: bodyOf(message), text }, {
      send: (changed) => {
        if (this.#on.ask({ text: changed, replaces: message.dataset.turn })) form.remove();
      },
      close: () => this.#on.cancelEdit(message.dataset.turn),
    });
  }

  #changed() {
    this.#empty.hidden = !this.isEmpty;
    this.#scroll.update();
  }
}

function isShown({ role, content }) {
  return (role === 'user' || role === 'assistant') && typeof content === 'string';
}
