/**
 * The search field above the list of conversations: searches on the server while the user types.
 *
 * It must never show outdated results.
 */

import { find } from './elements.js';
import { asFailure } from './failures.js';

const DEBOUNCE_MS = 250;

/** "1 conversation found". */
export function describeCount(count) {
  if (count === 0) return 'Nothing found.';
  return count === 1 ? '1 conversation found.' : `${count} conversations found.`;
}

export class SearchField {
  #field = find('#search');
  #status = find('#found');
  #on;
  #timer = 0;

  /** @param on search(words) resolves to conversations; change(): `found` has changed */
  constructor(on) {
    this.#on = on;
    /** The ids found; null without a search. */
    this.found = null;
    this.#field.addEventListener('input', () => this.#changed());
    this.#field.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.#field.value === '') return;
      event.preventDefault();
      event.stopPropagation(); // Escape would also stop a response
      this.clear();
    });
  }

  clear() {
    if (this.#field.value === '') return;
    this.#field.value = '';
    this.#changed();
  }

  #changed() {
    clearTimeout(this.#timer);
    if (this.#field.value.trim()) this.#timer = setTimeout(() => this.#search(this.#field.value), DEBOUNCE_MS);
    else this.#show(null, '');
  }

  async #search(words) {
    let [found, status] = [null, ''];
    try {
      found = new Set((await this.#on.search(words.trim())).map(({ id }) => id));
      status = describeCount(found.size);
    } catch (error) {
      status = asFailure(error).text;
    }
    if (words === this.#field.value) this.#show(found, status);
  }

  #show(found, status) {
    this.found = found;
    this.#status.textContent = status;
    this.#on.change();
  }
}
