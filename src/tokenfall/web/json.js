/** Parses JSON; returns null if it is invalid. */

export function parseJSON(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
