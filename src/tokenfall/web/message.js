/**
 * One message as DOM: author, text, end and actions. A question is shown as typed, a response as Markdown.
 *
 * It must never parse text as HTML, draw more than once per animation frame, or decide how a response ended.
 */

import { fillCollapsible } from './collapsible_text.js';
import { button, create, element } from './elements.js';
import { Reasoning } from './reasoning.js';
import { describeEnd } from './response_end.js';
import { speedButton } from './speed_button.js';
import { StallIndicator } from './stall_indicator.js';
import { StreamingMarkdown } from './streaming_markdown.js';
import { stamp } from './timestamps.js';

const NAMES = { user: 'You', assistant: 'Assistant' };

const ACTIONS = {
  user: [['copy', 'Copy'], ['edit', 'Edit']],
  assistant: [['copy', 'Copy'], ['again', 'Regenerate'], ['continue', 'Continue']],
};

function actionButton(action, label, role) {
  return button('action', { 'data-action': action }, label, element('span', 'unseen', role === 'user' ? ' your message' : ' response'));
}

/** The element of a message without text. */
function messageFrame(role, turn) {
  const body = create('div', { class: 'text', dir: 'auto' });
  const buttons = ACTIONS[role].map(([action, label]) => actionButton(action, label, role));
  const actions = element('div', 'actions', ...buttons, element('p', 'note'));
  return create('article', { class: `message ${role}`, 'data-turn': turn }, element('h2', 'who', NAMES[role]), body, actions);
}

export function bodyOf(message) {
  return message.querySelector('.text');
}

/** A question, sent at `atS` (Unix seconds). */
export function questionElement(text, turn = '', atS = Date.now() / 1000) {
  const message = messageFrame('user', turn);
  stamp(message, atS);
  fillCollapsible(bodyOf(message), text);
  return message;
}

/** The parts of the line below a response that has ended. */
function noteOf(state, text, end) {
  const label = describeEnd(state, end) || (state === 'complete' && text === '' && 'Empty response');
  return [label && element('span', 'ended', label), end.pace && speedButton(end.pace)].filter(Boolean);
}

/**
 * A response: waiting, streaming, then ended. `onDraw` is called whenever its height may have changed.
 */
export class ResponseView {
  #markdown;
  #pending = ''; // text not drawn yet
  #frame = 0;
  #onDraw;
  #reasoning = null;
  #stall = new StallIndicator();

  constructor(turn = '', onDraw = () => {}) {
    this.element = messageFrame('assistant', turn);
    this.element.dataset.state = 'waiting';
    this.text = '';
    this.#onDraw = onDraw;
    this.#markdown = new StreamingMarkdown(bodyOf(this.element));
    bodyOf(this.element).after(this.#stall.element);
  }

  /** Shows the model's name as the author. */
  setModel(model) {
    if (!model) return;
    const name = this.element.querySelector('.who');
    name.textContent = model;
    name.classList.add('model');
    name.dir = 'auto';
  }

  /** Appends a piece of reasoning. */
  appendReasoning(text, isRestart = false) {
    if (this.#reasoning === null) {
      this.#reasoning = new Reasoning();
      bodyOf(this.element).before(this.#reasoning.element);
    }
    this.#reasoning.append(text, isRestart);
    this.#stall.reset();
    this.#onDraw();
  }

  append(token) {
    if (this.text === '') this.#reasoning?.end();
    this.text += token;
    this.#pending += token;
    this.#stall.reset();
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /**
   * Ends the response with { model, pace, reason, tokens, code, reasoningS, atS }, all optional; see response_end.js. Draws the
   * rest at once, because a hidden tab has no animation frames.
   */
  end(state, { reasoningS = null, atS = Date.now() / 1000, ...end } = {}) {
    cancelAnimationFrame(this.#frame);
    this.#draw();
    this.#markdown.end();
    this.#stall.end();
    if (reasoningS !== null || this.text === '') this.#reasoning?.end(reasoningS);
    this.setModel(end.model);
    Object.assign(this.element.dataset, { state, reason: end.reason ?? '' });
    stamp(this.element, atS);
    this.element.querySelector('.note').replaceChildren(...noteOf(state, this.text, end));
    this.#onDraw();
  }

  /** Replaces its text. */
  replace(text) {
    cancelAnimationFrame(this.#frame);
    this.#markdown = new StreamingMarkdown(bodyOf(this.element));
    this.#pending = text;
    this.text = text;
    this.#draw();
  }

  remove() {
    cancelAnimationFrame(this.#frame);
    this.#stall.end();
    this.element.remove();
  }

  #draw() {
    this.#frame = 0;
    if (this.#pending === '') return;
    this.#markdown.append(this.#pending);
    this.#pending = '';
    const { dataset } = this.element;
    if (dataset.state === 'waiting' && bodyOf(this.element).textContent) dataset.state = 'streaming';
    this.#onDraw();
  }
}
