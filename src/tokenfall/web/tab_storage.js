/**
 * Session storage of this tab: drafts, pending turns, and the API key unless it is stored on the device.
 *
 * It must never use localStorage or cookies, or throw: if the browser forbids storage, values are kept in memory.
 */

const PREFIX = 'tokenfall:';
const inMemory = new Map();

export function readTab(name) {
  if (inMemory.has(name)) return inMemory.get(name); // newer than the stored value if the storage is full
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
    // Storage is forbidden or full: the copy in memory is used, and an older stored value must be removed.
    removeStored(name);
  }
}

function removeStored(name) {
  try {
    sessionStorage.removeItem(PREFIX + name);
  } catch {
    // Storage is forbidden: there is no stored value.
  }
}
