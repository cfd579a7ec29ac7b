/**
 * What this browser stores after the tab is closed: the theme, whether the list of conversations is hidden, the settings
 * of conversations, and the API key if the user wants that.
 *
 * It must never store a message, which belongs to this tab only (tab_storage.js), and never fail: without storage, values live
 * as long as the page.
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
    localStorage.removeItem(PREFIX + name); // where the new text has no room, the old one must not stay
    if (text) localStorage.setItem(PREFIX + name, text);
  } catch {
    inMemory.set(name, text);
  }
}
