/**
 * The form that edits a message of the user and sends it again. It must never change the message, or send a blank text.
 */

import { isComposing, isEnter } from './composer.js';
import { button, create, element } from './elements.js';

let forms = 0;

export class EditForm {
  #form = element('form', 'edit');
  #area = create('textarea', { dir: 'auto' });
  #message;
  #on;

  /**
   * Opens the form in place of the `body` of `message`, and of an earlier form.
   *
   * @param on { send(text), close() }: `close` is called when the user cancels
   */
  constructor({ message, body, text }, on) {
    forms += 1;
    this.#message = message;
    this.#on = on;
    this.#area.id = `edit-${forms}`;
    this.#area.value = text;
    this.#area.rows = Math.min(12, text.split('\n').length + 1);
    const label = create('label', { class: 'unseen', for: this.#area.id }, 'Edit your message');
    const cancel = button('quiet', {}, 'Cancel');
    cancel.addEventListener('click', () => this.close());
    const hint = element('p', 'hint', 'The messages after it will be replaced.');
    const send = element('button', 'main', 'Save and send');
    this.#form.append(label, this.#area, hint, element('div', 'actions', cancel, send));
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#area.value.trim()) on.send(this.#area.value);
    });
    this.#form.addEventListener('keydown', (event) => this.#onKey(event));
    this.remove();
    message.classList.add('editing');
    body.after(this.#form);
    this.#area.focus();
    this.#area.setSelectionRange(this.#area.value.length, this.#area.value.length);
  }

  remove() {
    this.#message.querySelector('.edit')?.remove();
    this.#message.classList.remove('editing');
  }

  close() {
    this.remove();
    this.#on.close();
    this.#message.querySelector('[data-action=edit]').focus();
  }

  #onKey(event) {
    if (event.key === 'Escape' && !isComposing(event)) {
      event.stopPropagation(); // Escape would also stop a response
      this.close();
    } else if (event.target === this.#area && isEnter(event)) {
      event.preventDefault();
      this.#form.requestSubmit();
    }
  }
}
