/**
 * Persistent storage of this browser: the theme, whether the list of conversations is hidden, the settings of
 * conversations, and the API key if the user chose that.
 *
 * It must never store a message (tab_storage.js does), or throw: without storage, values are kept in memory.
 */

const PREFIX = 'tokenfall:';
const inMemory = new Map();

export function readDevice(name) {
  try {
    return localStorage.getItem(PREFIX + name) ?? inMemory.get(name) ?? '';
  } catch {
    return inMemory.get(name) ?? '';
  }
}

/** Stores `text` under `name`; an empty text removes it. */
export function writeDevice(name, text) {
  inMemory.delete(name);
  try {
    localStorage.removeItem(PREFIX + name); // if the new text does not fit, the old one must not stay
    if (text) localStorage.setItem(PREFIX + name, text);
  } catch {
    inMemory.set(name, text);
  }
}
