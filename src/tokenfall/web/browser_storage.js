/**
 * A storage area of the browser whose names have a prefix. It must never throw: a value that the browser does not store,
 * because storage is forbidden or full, is kept in memory.
 */

const PREFIX = 'tokenfall:';

export class BrowserStorage {
  #area;
  #inMemory = new Map(); // values that could not be stored

  /** @param area returns the Storage; access to it throws if it is forbidden */
  constructor(area) {
    this.#area = area;
  }

  /** The value of `name`, '' without one. */
  read(name) {
    const inMemory = this.#inMemory.get(name) ?? '';
    try {
      return this.#area().getItem(PREFIX + name) ?? inMemory;
    } catch {
      return inMemory;
    }
  }

  /** Stores `text` under `name`; an empty text removes it. */
  write(name, text) {
    this.#inMemory.delete(name);
    try {
      this.#area().removeItem(PREFIX + name); // if the new text does not fit, the old one must not stay
      if (text) this.#area().setItem(PREFIX + name, text);
    } catch {
      this.#inMemory.set(name, text);
    }
  }
}
