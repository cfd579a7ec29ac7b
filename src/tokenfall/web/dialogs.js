/**
 * Dialogs: for the API key, for a conversation's name, and before one is deleted.
 *
 * It must never show a key, keep one that the server refused, or open one dialog twice.
 */

import { readDevice, writeDevice } from './device_storage.js';
import { find } from './elements.js';
import { readTab, writeTab } from './tab_storage.js';

const KEY = 'key';

/** Opens `dialog`; resolves to true if its form is submitted while `isUsable()`, to false after Esc or Cancel. */
export function ask(dialog, isUsable = () => true) {
  const form = dialog.querySelector('form');
  const cancel = dialog.querySelector('button[type=button]');
  return new Promise((resolve) => {
    const finish = (agreed) => {
      resolve(agreed);
      dialog.close();
    };
    // Not method=dialog: the Content-Security-Policy forbids form actions.
    form.onsubmit = (event) => {
      event.preventDefault();
      if (isUsable()) finish(true);
    };
    cancel.onclick = () => finish(false);
    // The close event is dispatched later; the dialog may have been opened again by then.
    dialog.onclose = () => dialog.open || resolve(false);
    dialog.showModal();
  });
}

export function confirmDelete(title) {
  find('#deleted').textContent = title;
  return ask(find('#delete-dialog'));
}

/** Resolves to the conversation's new name, or null if it is unchanged. */
export async function askForName(now) {
  const input = find('#name');
  input.value = now;
  const submitted = ask(find('#rename-dialog'));
  input.select();
  const name = (await submitted) ? input.value.trim() : now;
  return name === now ? null : name;
}

export class Keys {
  #pending = null;

  /** The key to send, or an empty string. */
  get current() {
    return readTab(KEY) || readDevice(KEY);
  }

  /**
   * Asks for a key after `refused` got a 401; resolves to whether there is another key to try. Concurrent calls share
   * one dialog.
   */
  renew(refused) {
    if (this.#pending) return this.#pending;
    if (this.current !== refused) return Promise.resolve(this.current !== '');
    const why = refused ? 'The server did not accept this key. Try another.' : 'This server needs an API key.';
    const isOnDevice = readDevice(KEY) === refused && refused !== '';
    if (isOnDevice) writeDevice(KEY, '');
    writeTab(KEY, '');
    if (this.current) return Promise.resolve(true); // the device has another key
    return this.#prompt(why, { isOnDevice });
  }

  /** Lets the user replace or remove the key; resolves to whether there is a new one. */
  change() {
    const why = this.current ? 'Requests are sent with a key. Enter another to replace it.' : 'Requests are sent without a key.';
    return this.#pending ?? this.#prompt(why, { isOnDevice: readDevice(KEY) !== '', canForget: this.current !== '' });
  }

  #prompt(why, { isOnDevice, canForget = false }) {
    const [dialog, input, remember, forget] = ['#key-dialog', '#key', '#key-remember', '#key-forget'].map(find);
    find('#key-why').textContent = why;
    remember.checked = isOnDevice;
    forget.hidden = !canForget;
    forget.onclick = () => {
      this.#store('', true);
      dialog.close();
    };
    const submitted = ask(dialog).then((agreed) => {
      if (agreed) this.#store(input.value.trim(), remember.checked);
      input.value = '';
      return agreed;
    });
    this.#pending = submitted.finally(() => (this.#pending = null));
    return this.#pending;
  }

  /** Stores the key in one place, so that removing it leaves no copy. */
  #store(key, onDevice) {
    writeTab(KEY, onDevice ? '' : key);
    if (onDevice || readDevice(KEY)) writeDevice(KEY, onDevice ? key : '');
  }
}
