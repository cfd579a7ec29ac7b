/**
 * Imports a conversation from an exported JSON file, as a new one. Fields that an export does not have are not sent.
 */

import { find } from './elements.js';
import { Failure } from './failures.js';
import { parseJSON } from './json.js';

const MAX_MESSAGES = 1000; // the server's limit

/** The conversation in an exported file with this text; throws a Failure for any other text. */
export function exportedConversation(text) {
  const exported = parseJSON(text);
  if (!Array.isArray(exported?.messages)) throw new Failure('not_exported');
  const { title, messages } = exported;
  if (messages.length > MAX_MESSAGES) throw new Failure('file_too_long');
  return { ...(typeof title === 'string' && { title }), messages };
}

export class FileImport {
  /** @param onFile called with a function that resolves to the text of the chosen file */
  constructor(onFile) {
    const [button, field] = [find('#import-open'), find('#import-file')];
    button.addEventListener('click', () => field.click());
    field.addEventListener('change', () => {
      const [file] = field.files;
      if (file) onFile(() => file.text().finally(() => (field.value = ''))); // the same file may be chosen again
    });
  }
}
