/**
 * What this page remembers for this tab only: the draft, and the API key unless it is to be remembered on the device.
 *
 * It must never use localStorage or cookies, and never fail: where the browser forbids storage,
 * values live as long as the page does.
 */

const PREFIX = 'tokenfall:';
const inMemory = new Map();

export function recall(name) {
  if (inMemory.has(name)) return inMemory.get(name); // newer than what a full storage holds
  try {
    return sessionStorage.getItem(PREFIX + name) ?? '';
  } catch {
    return '';
  }
}

/** Keeps `value` under `name`; an empty value forgets it. */
export function keep(name, value) {
  inMemory.set(name, value);
  try {
    if (value) sessionStorage.setItem(PREFIX + name, value);
    else sessionStorage.removeItem(PREFIX + name);
  } catch {
    // Storage is forbidden or full: the copy in memory serves until the page is left, and no older one after it.
    forget(name);
  }
}

function forget(name) {
  try {
    sessionStorage.removeItem(PREFIX + name);
  } catch {
    // Forbidden: there is none.
  }
}
