/**
 * Marks the messages that the model will not receive with the next question, because the conversation is longer than its
 * context, and the place before which the server has deleted or will delete messages.
 *
 * The server decides which these are. A mark must never separate a question from its response.
 */

import { element } from './elements.js';

/** How much of a conversation the model gets, `tokens` null for no limit. */
export function describeRoom(messages, tokens) {
  return `at most the newest ${messages} messages${tokens === null ? '' : `, up to about ${tokens} tokens`}`;
}

export class ContextMark {
  #messages;
  #mark = element('p', 'outside');
  #storedMark = element('p', 'deleted');
  #context = null; // as last received; null if unknown

  constructor(messages) {
    this.#messages = messages;
  }

  /** @param context the response of `POST /chat/context`, null if unknown */
  set(context) {
    this.#context = context;
    this.place();
  }

  /** Called after the messages were replaced. */
  place() {
    const known = [...this.#messages.querySelectorAll(':scope > .message:not([data-forgotten], [hidden])')];
    this.#placeStored(known);
    const first = known.findIndex(({ dataset }) => dataset.turn === this.#context?.first);
    const isUnknown = this.#context === null || (this.#context.first !== '' && first < 0);
    const outside = isUnknown ? [] : known.slice(0, first < 0 ? known.length : first);
    for (const message of known) message.toggleAttribute('data-outside', outside.includes(message));
    if (outside.length === 0) this.#mark.remove();
    else this.#show(known[outside.length]);
  }

  /** Shows the mark of the stored messages once the conversation is as long as the limit: it may have been longer. */
  #placeStored(known) {
    const limit = this.#context?.max_stored ?? Infinity;
    this.#storedMark.remove();
    if (known.length < limit) return;
    this.#storedMark.textContent = `The server keeps the newest ${limit} messages of a conversation and deletes older ones.`;
    this.#storedMark.hidden = false; // hidden with the messages of a replaced turn
    known.at(-limit).before(this.#storedMark);
  }

  /** Shows the mark before `message`, or after all messages. */
  #show(message) {
    this.#mark.hidden = false;
    const { max_messages: messages, max_tokens: tokens } = this.#context;
    this.#mark.textContent = `The model no longer gets the messages above. It gets ${describeRoom(messages, tokens)}.`;
    this.#mark.classList.toggle('column', message === undefined);
    if (message) message.before(this.#mark);
    else this.#messages.after(this.#mark); // not as its last child: that is the newest response
  }
}
