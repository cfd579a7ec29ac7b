/**
 * The list of themes: the system's, light and dark. The choice is stored on this device; theme.js applies it.
 */

import { readDevice, writeDevice } from './device_storage.js';
import { find } from './elements.js';

export class ThemeSwitch {
  #select = find('#theme');

  constructor() {
    this.#show();
    this.#select.addEventListener('change', () => {
      writeDevice('theme', this.#select.value);
      dispatchEvent(new CustomEvent('theme', { detail: this.#select.value }));
    });
    addEventListener('storage', () => this.#show());
  }

  #show() {
    this.#select.value = readDevice('theme');
  }
}
