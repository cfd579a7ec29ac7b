/**
 * The conversation as DOM: messages, the answer that is growing, how each one ended.
 *
 * Text goes in as text nodes only. It must never parse text as HTML, draw an answer
 * more than once an animation frame, or decide how an answer ended.
 */

import { Follow } from './follow.js';
import { GrowingText } from './growing.js';

const NAMES = { user: 'You', assistant: 'Answer' };

const NOTES = {
  complete: '',
  stopped: 'Stopped',
  interrupted: 'Interrupted: this answer is not complete',
  failed: 'Broken off: this answer is not complete',
};

function element(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  if (text) made.append(text);
  return made;
}

/** One message; `state` is a key of NOTES, or waiting, or streaming. */
function messageElement(role, text, state) {
  const message = element('article', `message ${role}`);
  const body = element('div', 'text');
  body.dir = 'auto';
  body.append(text); // a text node
  message.append(element('h2', 'who', NAMES[role]), body, element('p', 'note'));
  setState(message, state);
  return message;
}

function setState(message, state, pace = '') {
  message.dataset.state = state;
  const parts = [NOTES[state] && element('span', 'ended', NOTES[state]), pace && element('span', 'pace', pace)];
  message.querySelector('.note').replaceChildren(...parts.filter(Boolean));
}

/** An answer that is growing. Exactly one call of `end` or `remove` closes it. */
class Answer {
  #message;
  #text;
  #waiting = ''; // arrived, not drawn yet
  #frame = 0;
  #onDraw;
  #onEnd;

  constructor(message, { onDraw, onEnd }) {
    this.#message = message;
    this.#onDraw = onDraw;
    this.#onEnd = onEnd;
    this.#text = new GrowingText(message.querySelector('.text'));
  }

  append(token) {
    this.#waiting += token;
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  /** Draws what is left at once: in a hidden tab no animation frame comes. */
  end(state, pace) {
    cancelAnimationFrame(this.#frame);
    this.#draw();
    setState(this.#message, state, pace);
    this.#onEnd();
    this.#onDraw();
  }

  remove() {
    cancelAnimationFrame(this.#frame);
    this.#message.remove();
    this.#onEnd();
  }

  #draw() {
    this.#frame = 0;
    if (this.#waiting === '') return;
    this.#text.append(this.#waiting);
    this.#waiting = '';
    this.#message.dataset.state = 'streaming';
    this.#onDraw();
  }
}

export class ConversationView {
  #messages = document.querySelector('#messages');
  #underWay = []; // the question and answer of a turn that has not ended
  #empty = document.querySelector('#empty');
  #follow = new Follow(document.querySelector('#log'), document.querySelector('#to-end'));

  /** Shows the server's messages in place of all others but a turn under way, which they do not hold yet. */
  showHistory(messages) {
    const shown = messages
      .filter(({ role, content }) => Object.hasOwn(NAMES, role) && typeof content === 'string')
      .map(({ role, content, status }) =>
        messageElement(role, content, status === 'interrupted' ? 'interrupted' : 'complete'));
    this.#messages.replaceChildren(...shown, ...this.#underWay);
    this.#changed();
  }

  /** Shows a question and an answer about to come; `withdraw` takes both back. */
  beginTurn(question) {
    const asked = messageElement('user', question, 'complete');
    const answered = messageElement('assistant', '', 'waiting');
    this.#messages.append(asked, answered);
    const answer = new Answer(answered, {
      onDraw: () => this.#follow.keep(),
      onEnd: () => (this.#underWay = []),
    });
    this.#underWay = [asked, answered];
    this.#empty.hidden = true;
    this.#follow.toEnd();
    const withdraw = () => {
      asked.remove();
      answer.remove();
      this.#changed();
    };
    return { answer, withdraw };
  }

  clear() {
    this.#messages.replaceChildren();
    this.#changed();
  }

  #changed() {
    this.#empty.hidden = this.#messages.childElementCount > 0;
    this.#follow.keep();
  }
}
