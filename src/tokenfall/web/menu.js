/**
 * What can be done with the conversation that is shown, behind one button.
 *
 * It must never stay open when the reader has gone elsewhere.
 */

const find = (id) => document.querySelector(id);

export class Menu {
  #menu = find('#menu');

  /** @param on { rename, exportMarkdown, exportJSON, print, remove } */
  constructor(on) {
    const acts = { '#rename': on.rename, '#export-markdown': on.exportMarkdown, '#export-json': on.exportJSON, '#print': on.print, '#delete': on.remove };
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

  /** Nothing can be done with a conversation that has not begun. */
  setUsable(usable) {
    this.#menu.hidden = !usable;
  }

  #close() {
    this.#menu.open = false;
    this.#menu.querySelector('summary').focus();
  }
}
