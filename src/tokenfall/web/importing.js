/**
 * An exported conversation that comes back from a file, as a new one.
 *
 * It must never send a file that is not JSON, or more of it than an export has.
 */

import { Failure } from './failures.js';

/** What the server is sent of an exported conversation; throws a Failure for any other text. */
export function importedBody(text) {
  let exported = null;
  try {
    exported = JSON.parse(text);
  } catch {
    // the error follows below
  }
  if (!Array.isArray(exported?.messages)) throw new Failure('not_exported');
  const { title, messages } = exported;
  return JSON.stringify({ ...(typeof title === 'string' && { title }), messages });
}

export class Importing {
  /** @param onFile called with the function that resolves to the text of the file that the reader has chosen */
  constructor(onFile) {
    const [button, field] = [document.querySelector('#import-open'), document.querySelector('#import-file')];
    button.addEventListener('click', () => field.click());
    field.addEventListener('change', () => {
      const [file] = field.files;
      if (file) onFile(() => file.text().finally(() => (field.value = ''))); // the same file may be chosen again
    });
  }
}
