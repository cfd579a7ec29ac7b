/**
 * What can be done with the conversation that is shown, and with the API key, behind one button.
 *
 * It must never stay open when the reader has gone elsewhere.
 */

const find = (id) => document.querySelector(id);

export class Menu {
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
      event.stopPropagation(); // it would stop an answer
      this.#close();
    });
    this.#menu.addEventListener('focusout', ({ relatedTarget }) => {
      if (relatedTarget && !this.#menu.contains(relatedTarget)) this.#menu.open = false;
    });
    document.addEventListener('pointerdown', ({ target }) => {
      if (!this.#menu.contains(target)) this.#menu.open = false;
    });
  }

  /** Nothing can be done with a conversation that has not begun; the key is there all the same. */
  setUsable(usable) {
    for (const button of this.#menu.querySelectorAll('button:not(#change-key)')) button.hidden = !usable;
  }

  #close() {
    this.#menu.open = false;
    this.#menu.querySelector('summary').focus();
  }
}
