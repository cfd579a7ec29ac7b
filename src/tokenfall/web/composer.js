/**
 * The text area and its buttons: grows, keeps its draft, tells Send, Stop and an IME's Enter apart.
 *
 * It must never send while an input method is composing, or drop text that was not sent.
 */

import { keep, recall } from './kept.js';
import { showBriefly } from './notice.js';

const DRAFT = 'draft';
const SAID_MS = 4000;
const GROWS_BY_ITSELF = CSS.supports('field-sizing', 'content');

/** Whether a key belongs to an input method. Safari ends composing before its Enter: only 229 tells. */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Whether what has the focus is about to go, because an answer begins: what can be done with messages, and the notice. */
function isGoing(focused) {
  return focused === null || focused === document.body || focused.closest('.message, #notice') !== null;
}

/** Whether a key is the Enter that sends. */
export function isEnter(event) {
  return event.key === 'Enter' && !event.shiftKey && !isComposing(event);
}

export class Composer {
  #form = document.querySelector('#composer');
  #draft = document.querySelector('#draft');
  #send = document.querySelector('#send');
  #stop = document.querySelector('#stop');
  #busy = false;
  #name = ''; // under which the draft is kept, once a conversation is shown

  /** @param on { send(text), stop() }; send is called only while not busy, with text that is not blank; says whether it could */
  constructor(on) {
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
    const isOnStop = document.activeElement === this.#stop;
    this.#stop.hidden = !busy;
    if (busy ? isGoing(document.activeElement) : isOnStop) this.#draft.focus({ preventScroll: true });
  }

  /** Whose draft this is from now on; the one that was here is kept for its own. */
  setConversation(id) {
    const typed = this.#name === '' ? this.#draft.value : ''; // before this page's scripts were there
    this.#name = `${DRAFT}:${id}`;
    const kept = recall(this.#name);
    this.#setDraft(kept.includes(typed) ? kept : [kept, typed].filter(Boolean).join('\n'));
  }

  /** Puts a message that failed back, before whatever was typed since; `conversation` is whose, if not the one here. */
  giveBack(text, conversation = null) {
    const name = conversation === null ? this.#name : `${DRAFT}:${conversation}`;
    const typed = recall(name);
    const both = typed.trim() ? `${text}\n${typed}` : text;
    if (name === this.#name) this.#setDraft(both);
    else keep(name, both);
  }

  /** Takes away what was given back, as far as it is still there. */
  takeBack(text) {
    const typed = this.#draft.value;
    if (typed === text) this.#setDraft('');
    else if (typed.startsWith(`${text}\n`)) this.#setDraft(typed.slice(text.length + 1));
  }

  focus() {
    this.#draft.focus();
  }

  #onEnter(event) {
    if (!isEnter(event)) return;
    event.preventDefault();
    if (!event.repeat) this.#form.requestSubmit();
  }

  #submit(send) {
    const text = this.#draft.value;
    if (this.#busy && text.trim()) showBriefly('Wait for the end of the response or stop it, then send.', SAID_MS);
    else if (text.trim() === '') this.focus();
    else if (send(text)) this.#setDraft('');
  }

  #setDraft(text) {
    this.#draft.value = text;
    this.#changed();
  }

  #changed() {
    if (this.#name) keep(this.#name, this.#draft.value);
    if (GROWS_BY_ITSELF) return;
    this.#draft.style.height = 'auto';
    this.#draft.style.height = `${this.#draft.scrollHeight}px`;
  }
}
