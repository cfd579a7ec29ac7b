/**
 * What this browser remembers after the tab is closed: the theme, the settings of conversations, and the API key where
 * the reader wants that.
 *
 * It must never hold a message, which is for this tab only (kept.js), and never fail: where the browser forbids
 * storage, values live as long as the page does.
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
