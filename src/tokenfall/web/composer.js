/**
 * The text area and its buttons: grows, keeps its draft, tells Send, Stop and an IME's Enter apart.
 *
 * It must never send while an input method is composing, or drop text that was not sent.
 */

import { keep, recall } from './kept.js';

const DRAFT = 'draft';
const GROWS_BY_ITSELF = CSS.supports('field-sizing', 'content');

/** Whether a key belongs to an input method. Safari ends composing before its Enter: only 229 tells. */
function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

export class Composer {
  #form = document.querySelector('#composer');
  #draft = document.querySelector('#draft');
  #send = document.querySelector('#send');
  #stop = document.querySelector('#stop');
  #busy = false;

  /** @param on { send(text), stop() }; send is called only while not busy, with text that is not blank */
  constructor(on) {
    this.#setDraft(recall(DRAFT));
    this.#draft.addEventListener('input', () => this.#changed());
    this.#draft.addEventListener('keydown', (event) => this.#onEnter(event));
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit(on.send);
    });
    this.#stop.addEventListener('click', () => on.stop());
    document.addEventListener('keydown', (event) => {
      const inDialog = event.target.closest?.('dialog');
      if (event.key === 'Escape' && this.#busy && !inDialog && !isComposing(event)) on.stop();
    });
  }

  /** While busy, Stop is there and Send is not; the text area stays open for the next message. */
  setBusy(busy) {
    this.#busy = busy;
    // Not `disabled`: a button that has the focus would drop it.
    this.#send.setAttribute('aria-disabled', String(busy));
    if (!busy && document.activeElement === this.#stop) this.#send.focus();
    this.#stop.hidden = !busy;
  }

  /** Puts a message that failed back, before whatever was typed since. */
  giveBack(text) {
    const typed = this.#draft.value;
    this.#setDraft(typed.trim() ? `${text}\n${typed}` : text);
  }

  focus() {
    this.#draft.focus();
  }

  #onEnter(event) {
    if (event.key !== 'Enter' || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    if (!event.repeat) this.#form.requestSubmit();
  }

  #submit(send) {
    const text = this.#draft.value;
    if (this.#busy) return;
    if (text.trim() === '') {
      this.focus();
      return;
    }
    this.#setDraft('');
    send(text);
  }

  #setDraft(text) {
    this.#draft.value = text;
    this.#changed();
  }

  #changed() {
    keep(DRAFT, this.#draft.value);
    if (GROWS_BY_ITSELF) return;
    this.#draft.style.height = 'auto';
    this.#draft.style.height = `${this.#draft.scrollHeight}px`;
  }
}
