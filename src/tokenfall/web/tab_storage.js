/**
 * What this page stores for this tab only: drafts, questions in progress, and the API key unless it is stored on the device.
 *
 * It must never use localStorage or cookies, and never fail: where the browser forbids storage,
 * values live as long as the page does.
 */

const PREFIX = 'tokenfall:';
const inMemory = new Map();

export function readTab(name) {
  if (inMemory.has(name)) return inMemory.get(name); // newer than in a storage that is full
  try {
    return sessionStorage.getItem(PREFIX + name) ?? '';
  } catch {
    return '';
  }
}

/** Stores `value` under `name`; an empty value removes it. */
export function writeTab(name, value) {
  inMemory.set(name, value);
  try {
    if (value) sessionStorage.setItem(PREFIX + name, value);
    else sessionStorage.removeItem(PREFIX + name);
  } catch {
    // Storage is forbidden or full: the copy in memory is used, and an older stored one must not be.
    removeStored(name);
  }
}

function removeStored(name) {
  try {
    sessionStorage.removeItem(PREFIX + name);
  } catch {
    // Forbidden: there is none.
  }
}
