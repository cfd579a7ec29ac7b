/**
 * The page's keyboard shortcuts, except Esc (composer.js), and the dialog that lists them.
 *
 * It must never handle a key meant for a text field, a dialog or an input method. Single keys can be turned off
 * (WCAG 2.1.4).
 */

import { isComposing } from './composer.js';
import { readDevice, writeDevice } from './device_storage.js';
import { find } from './elements.js';

const SINGLE_KEYS = 'single-keys';

/** The Latin letter of a key, on any keyboard layout. */
function letterOf({ key, code }) {
  return /^[\x20-\x7e]$/.test(key) ? key.toLowerCase() : code.replace('Key', '').toLowerCase();
}

/** The shortcut of a keydown event: begin, list, help or write; undefined if there is none. */
export function shortcutOf(event, { isWriting, allowsSingleKeys }) {
  if (event.altKey || isComposing(event)) return undefined;
  if (event.ctrlKey || event.metaKey) {
    if (event.key === '/') return 'help';
    return event.shiftKey ? { o: 'begin', s: 'list' }[letterOf(event)] : undefined;
  }
  return allowsSingleKeys && !isWriting ? { '?': 'help', '/': 'write' }[event.key] : undefined;
}

export class Shortcuts {
  #dialog = find('#help-dialog');
  #single = find('#single-keys');

  /** @param on { begin(), list(), write() } */
  constructor(on) {
    const acts = { ...on, help: () => this.#dialog.showModal() };
    this.#single.checked = readDevice(SINGLE_KEYS) !== 'off';
    this.#single.addEventListener('change', () => writeDevice(SINGLE_KEYS, this.#single.checked ? '' : 'off'));
    find('#help').addEventListener('click', acts.help);
    find('#help-close').addEventListener('click', () => this.#dialog.close());
    const isApple = /Mac|iPhone|iPad/.test(navigator.platform);
    for (const key of this.#dialog.querySelectorAll('kbd[data-control]')) key.textContent = isApple ? '⌘' : 'Ctrl';
    document.addEventListener('keydown', (event) => {
      const isWriting = event.target.closest?.('input, textarea, select') !== null;
      const name = shortcutOf(event, { isWriting, allowsSingleKeys: this.#single.checked });
      if (name === undefined || find('dialog:modal')) return;
      event.preventDefault();
      acts[name]();
    });
  }
}
