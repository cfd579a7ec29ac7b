/**
 * The questions the pages ask: for an API key, for a conversation's name, and before one is deleted.
 *
 * It must never show a key, keep one the server refused, or open one dialog twice.
 */

import { keep, recall } from './kept.js';

const KEY = 'key';

/** Opens `dialog` and resolves to whether its form was submitted and `isUsable`; Esc and Cancel are a no. */
export function ask(dialog, isUsable = () => true) {
  const form = dialog.querySelector('form');
  const cancel = dialog.querySelector('button[type=button]');
  return new Promise((resolve) => {
    const answer = (agreed) => {
      resolve(agreed);
      dialog.close();
    };
    // Prevented, not method=dialog: the policy of the page forbids every form its action.
    form.onsubmit = (event) => {
      event.preventDefault();
      if (isUsable()) answer(true);
    };
    cancel.onclick = () => answer(false);
    // Told a while after it closed: by then the dialog may ask the next thing, which this does not answer.
    dialog.onclose = () => dialog.open || resolve(false);
    dialog.showModal();
  });
}

export function confirmDelete() {
  return ask(document.querySelector('#delete-dialog'));
}

/** The conversation's new name, or null when it is to stay as it is. */
export async function askForName(now) {
  const input = document.querySelector('#name');
  input.value = now;
  const asked = ask(document.querySelector('#rename-dialog'));
  input.select();
  const name = (await asked) ? input.value.trim() : now;
  return name === now ? null : name;
}

export class Keys {
  #asking = null;

  /** The key to send, or an empty string. */
  get current() {
    return recall(KEY);
  }

  /**
   * Asks for a key after `refused` got a 401; resolves to whether there is another to try.
   * Requests refused at the same time share one question.
   */
  renew(refused) {
    if (this.#asking) return this.#asking;
    if (this.current !== refused) return Promise.resolve(this.current !== '');
    this.#asking = this.#ask(refused).finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #ask(refused) {
    keep(KEY, '');
    const input = document.querySelector('#key');
    document.querySelector('#key-why').textContent = refused
      ? 'The server did not accept this key. Try another.'
      : 'This server needs an API key.';
    const agreed = await ask(document.querySelector('#key-dialog'));
    const key = input.value.trim();
    input.value = '';
    if (agreed) keep(KEY, key);
    return agreed;
  }
}
