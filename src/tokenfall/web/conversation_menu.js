/**
 * The menu of the current conversation and the API key. It closes when the focus or a click is elsewhere.
 */

import { find } from './elements.js';

export class ConversationMenu {
  #menu = find('#menu');

  /** @param on { rename, exportMarkdown, exportJSON, print, remove, changeKey } */
  constructor(on) {
    const acts = {
      '#rename': on.rename,
      '#export-markdown': on.exportMarkdown,
      '#export-json': on.exportJSON,
      '#print': on.print,
      '#delete': on.remove,
      '#change-key': on.changeKey,
    };
    for (const [id, act] of Object.entries(acts)) {
      find(id).addEventListener('click', () => {
        this.#close();
        act();
      });
    }
    this.#menu.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#menu.open) return;
      event.stopPropagation(); // Escape would also stop a response
      this.#close();
    });
    this.#menu.addEventListener('focusout', ({ relatedTarget }) => {
      if (relatedTarget && !this.#menu.contains(relatedTarget)) this.#menu.open = false;
    });
    document.addEventListener('pointerdown', ({ target }) => {
      if (!this.#menu.contains(target)) this.#menu.open = false;
    });
  }

  /** If not usable, hides all actions except that for the API key. */
  setUsable(usable) {
    for (const button of this.#menu.querySelectorAll('button:not(#change-key)')) button.hidden = !usable;
  }

  #close() {
    this.#menu.open = false;
    this.#menu.querySelector('summary').focus();
  }
}
