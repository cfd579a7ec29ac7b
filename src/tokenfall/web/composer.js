/**
 * The text area with Send and Stop: grows with its text, and stores the draft.
 *
 * It must never send while an input method is composing, lose unsent text, or cause more than one layout per animation
 * frame: Chromium dispatches two `input` events for each line of an inserted text.
 */

import { Drafts } from './drafts.js';
import { find } from './elements.js';
import { showBriefly } from './notice.js';

const LONG = 4000; // characters; they fill the text area on every screen
const GROWS_BY_ITSELF = CSS.supports('field-sizing', 'content');

/** Whether an input method uses this key. Safari ends composing before its Enter, which only keyCode 229 shows. */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Whether the focus is on an element that is hidden during a response: an action of a message, or the notice. */
function isHiddenByTurn(focused) {
  return focused === null || focused === document.body || focused.closest('.message, #notice') !== null;
}

/** Whether a key is the Enter that sends. */
export function isEnter(event) {
  return event.key === 'Enter' && !event.shiftKey && !isComposing(event);
}

export class Composer {
  #form = find('#composer');
  #draft = find('#draft');
  #send = find('#send');
  #stop = find('#stop');
  #busy = false;
  #drafts = new Drafts();
  #conversation = ''; // empty before one is open
  #frame = 0;

  /** @param on stop(); send(text), called only while not busy and with a text; returns false if it cannot be sent now */
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

  /** While busy, Stop is shown and Send does nothing; the text area stays enabled for the next message. */
  setBusy(busy) {
    this.#busy = busy;
    // Not disabled: a focused button would lose the focus.
    this.#send.setAttribute('aria-disabled', String(busy));
    const isOnStop = document.activeElement === this.#stop;
    this.#stop.hidden = !busy;
    if (busy ? isHiddenByTurn(document.activeElement) : isOnStop) this.#draft.focus({ preventScroll: true });
  }

  /** Shows the draft of another conversation; the previous draft stays stored. */
  setConversation(id) {
    const typed = this.#conversation === '' ? this.#draft.value : ''; // typed before the scripts ran
    this.#conversation = id;
    const stored = this.#drafts.of(id);
    this.#setDraft(stored.includes(typed) ? stored : [stored, typed].filter(Boolean).join('\n'));
  }

  /** Inserts a failed message at the start of the draft of `conversation`, by default the open one. */
  restoreText(text, conversation = this.#conversation) {
    const typed = this.#drafts.of(conversation);
    const both = typed.trim() ? `${text}\n${typed}` : text;
    if (conversation === this.#conversation) this.#setDraft(both);
    else this.#drafts.set(conversation, both);
  }

  /** Removes a restored message from the draft, if it is unchanged. */
  removeRestored(text) {
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
    if (this.#busy && text.trim()) showBriefly('Wait for the response to end, or stop it, then send.');
    else if (text.trim() === '') this.focus();
    else if (send(text)) this.#setDraft('');
  }

  #setDraft(text) {
    this.#drafts.set(this.#conversation, text);
    this.#draft.value = text;
    this.#fitSoon();
  }

  #changed() {
    if (this.#conversation) this.#drafts.changed(this.#conversation, () => this.#draft.value);
    this.#fitSoon();
  }

  #fitSoon() {
    if (!GROWS_BY_ITSELF && this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#fit());
  }

  /** Sets the height. The style sheet limits it, so a long text is not measured. */
  #fit() {
    this.#frame = 0;
    const { style, value } = this.#draft;
    style.height = value.length > LONG ? '100vh' : 'auto';
    if (value.length <= LONG) style.height = `${this.#draft.scrollHeight}px`;
  }
}
