/**
 * The dialog for a conversation's system prompt, temperature and token limit. It accepts the same values as the server.
 */

import { describeRoom } from './context_mark.js';
import { ask } from './dialogs.js';
import { find } from './elements.js';
import { READ } from './options.js';

const NAMES = Object.keys(READ);
const field = (name) => find(`#option-${name}`);

/** Resolves to the options, null for one to remove; null if cancelled. `defaults` are the server's, null if unknown. */
export async function askForOptions(options, defaults) {
  const dialog = find('#options-dialog');
  show(options);
  field('max_tokens').placeholder = defaults?.max_tokens ?? '';
  find('#options-context').textContent = defaults ? describeContext(defaults) : '';
  find('#options-clear').onclick = () => {
    show({});
    field('system').focus();
  };
  const agreed = await ask(dialog, isUsable);
  return agreed ? Object.fromEntries(NAMES.map((name) => [name, read(name).value])) : null;
}

function describeContext({ context_messages: messages, context_tokens: tokens }) {
  return `With each question the model gets ${describeRoom(messages, tokens)} of the conversation.`;
}

/** Shows these options, without errors. */
function show(options) {
  for (const name of NAMES) {
    field(name).value = options[name] ?? '';
    showError(name, '');
  }
}

function read(name) {
  return READ[name](field(name).value);
}

/** Shows the error of each field, and focuses the first invalid one. */
function isUsable() {
  const wrong = NAMES.filter((name) => showError(name, read(name).error ?? ''));
  if (wrong.length > 0) field(wrong[0]).focus();
  return wrong.length === 0;
}

function showError(name, error) {
  find(`#option-${name}-error`).textContent = error;
  field(name).setAttribute('aria-invalid', String(error !== ''));
  return error !== '';
}
