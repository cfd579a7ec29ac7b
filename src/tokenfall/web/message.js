/**
 * One message as DOM: author, text, end, and actions.
 *
 * A question is shown as typed, a response as Markdown. It must never parse text as HTML, draw a response more than once
 * per animation frame, or decide how a response ended.
 */

import { fillFolded } from './collapsible_text.js';
import { button, element } from './elements.js';
import { Reasoning } from './reasoning.js';
import { wordsOfEnd } from './response_end.js';
import { timing } from './speed_button.js';
import { Progress } from './stall_indicator.js';
import { GrowingMarkdown } from './streaming_markdown.js';
import { stamp } from './timestamps.js';

const NAMES = { user: 'You', assistant: 'Assistant' };

const ACTIONS = {
  user: [['copy', 'Copy'], ['edit', 'Edit']],
  assistant: [['copy', 'Copy'], ['again', 'Regenerate'], ['continue', 'Continue']],
};

function actionButton(action, label, role) {
  const made = button('action', label, element('span', 'unseen', role === 'user' ? ' your message' : ' response'));
  made.dataset.action = action;
  return made;
}

/** The element of a message without text. */
function frame(role, turn) {
  const message = element('article', `message ${role}`);
  const body = element('div', 'text');
  body.dir = 'auto';
  const buttons = ACTIONS[role].map(([action, label]) => actionButton(action, label, role));
  const actions = element('div', 'actions', ...buttons, element('p', 'note'));
  message.append(element('h2', 'who', NAMES[role]), body, actions);
  message.dataset.turn = turn;
  return message;
}

export function bodyOf(message) {
  return message.querySelector('.text');
}

/** A question, sent at `atS`, Unix seconds. */
export function questionElement(text, turn = '', atS = Date.now() / 1000) {
  const message = frame('user', turn);
  stamp(message, atS);
  fillFolded(bodyOf(message), text);
  return message;
}

/** The line below a response that has ended. */
function noteOf(isSilent, words, { pace }) {
  const parts = [
    isSilent && element('span', 'ended', 'Empty response'),
    words && element('span', 'ended', words),
    pace && timing(pace),
  ];
  return parts.filter(Boolean);
}

/**
 * A response: waiting, growing, then ended. `onDraw` is called whenever its height may have changed.
 */
export class Answer {
  #growing;
  #waiting = ''; // received, not drawn yet
  #frame = 0;
  #onDraw;
  #reasoning = null;
  #progress = new Progress();

  constructor(turn = '', onDraw = () => {}) {
    this.element = frame('assistant', turn);
    this.element.dataset.state = 'waiting';
    this.text = '';
    this.#onDraw = onDraw;
    this.#growing = new GrowingMarkdown(bodyOf(this.element));
    bodyOf(this.element).after(this.#progress.element);
  }

  /** Shows the model's name as the author. */
  setModel(model) {
    if (!model) return;
    const name = this.element.querySelector('.who');
    name.textContent = model;
    name.classList.add('model');
    name.dir = 'auto';
  }

  /** A piece of reasoning. */
  think(text, isAgain = false) {
    if (this.#reasoning === null) {
      this.#reasoning = new Reasoning();
      bodyOf(this.element).before(this.#reasoning.element);
    }
    this.#reasoning.append(text, isAgain);
    this.#progress.progressed();
    this.#onDraw();
  }

  append(token) {
    if (this.text === '') this.#reasoning?.end();
    this.text += token;
    this.#waiting += token;
    this.#progress.progressed();
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /**
   * Ends it with what is known: { model, pace, reason, tokens, thoughtS, atS }, all optional; see response_end.js.
   * Draws the rest at once: a hidden tab has no animation frames.
   */
  end(state, { thoughtS = null, atS = Date.now() / 1000, ...end } = {}) {
    cancelAnimationFrame(this.#frame);
    this.#draw();
    this.#growing.end();
    this.#progress.end();
    if (thoughtS !== null || this.text === '') this.#reasoning?.end(thoughtS);
    this.setModel(end.model);
    Object.assign(this.element.dataset, { state, reason: end.reason ?? '' });
    stamp(this.element, atS);
    const isSilent = state === 'complete' && !this.text;
    this.element.querySelector('.note').replaceChildren(...noteOf(isSilent, wordsOfEnd(state, end), end));
    this.#onDraw();
  }

  /** Replaces its text. */
  replace(text) {
    cancelAnimationFrame(this.#frame);
    this.#growing = new GrowingMarkdown(bodyOf(this.element));
    this.#waiting = text;
    this.text = text;
    this.#draw();
  }

  remove() {
    cancelAnimationFrame(this.#frame);
    this.#progress.end();
    this.element.remove();
  }

  #draw() {
    this.#frame = 0;
    if (this.#waiting === '') return;
    this.#growing.append(this.#waiting);
    this.#waiting = '';
    const { dataset } = this.element;
    if (dataset.state === 'waiting' && bodyOf(this.element).textContent) dataset.state = 'streaming';
    this.#onDraw();
  }
}
