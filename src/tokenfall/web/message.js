/**
 * One message as DOM: who said it, what, how it ended, and what can be done with it.
 *
 * A question is shown as it was typed, an answer as Markdown. It must never parse text as HTML, draw an answer more than
 * once an animation frame, or decide how an answer ended.
 */

import { element } from './elements.js';
import { wordsOfEnd } from './endings.js';
import { fillFolded } from './folding.js';
import { GrowingMarkdown } from './growing.js';
import { Progress } from './progress.js';
import { Reasoning } from './reasoning.js';
import { stamp } from './timestamps.js';
import { timing } from './timing.js';

const NAMES = { user: 'You', assistant: 'Assistant' };

const ACTIONS = {
  user: [['copy', 'Copy'], ['edit', 'Edit']],
  assistant: [['copy', 'Copy'], ['again', 'Regenerate'], ['continue', 'Continue']],
};

function button(action, label, role) {
  const made = element('button', 'action', label);
  made.type = 'button';
  made.dataset.action = action;
  made.append(element('span', 'unseen', role === 'user' ? ' your message' : ' response'));
  return made;
}

/** The element of a message that has not said anything yet. */
function frame(role, turn) {
  const message = element('article', `message ${role}`);
  const body = element('div', 'text');
  body.dir = 'auto';
  const buttons = ACTIONS[role].map(([action, label]) => button(action, label, role));
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

/** What stands below an answer that has ended. */
function noteOf(isSilent, words, { pace }) {
  const parts = [
    isSilent && element('span', 'ended', 'Empty response'),
    words && element('span', 'ended', words),
    pace && timing(pace),
  ];
  return parts.filter(Boolean);
}

/**
 * An answer that is waited for or growing, later ended; `text` is what it says.
 * `onDraw` is called whenever it may have changed its height.
 */
export class Answer {
  #growing;
  #waiting = ''; // arrived, not drawn yet
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

  /** The heading says which model it is, once that is known. */
  setModel(model) {
    if (!model) return;
    const name = this.element.querySelector('.who');
    name.textContent = model;
    name.classList.add('model');
    name.dir = 'auto';
  }

  /** A piece of what the model thinks before it answers. */
  think(text, isAgain = false) {
    if (this.#reasoning === null) {
      this.#reasoning = new Reasoning();
      bodyOf(this.element).before(this.#reasoning.element);
    }
    this.#reasoning.append(text, isAgain);
    this.#progress.heard();
    this.#onDraw();
  }

  append(token) {
    if (this.text === '') this.#reasoning?.end();
    this.text += token;
    this.#waiting += token;
    this.#progress.heard();
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /**
   * How it ended, and what is known of it: { model, pace, reason, tokens, thoughtS, atS }, all optional; see endings.js.
   * Draws what is left at once: in a hidden tab no animation frame comes.
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

  /** Says `text` and nothing else. */
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
