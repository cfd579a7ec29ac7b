/**
 * Copies the text of a message or a code block.
 */

import { element } from './elements.js';
import { showBriefly } from './notice.js';

const COPIED_MS = 2000;
const relabelled = new WeakMap(); // buttons that show "Copied": their own label, and the timer that restores it

/** Copies `text`, and shows "Copied" on `button` and as the status. */
export async function copy(text, button) {
  const copied = (await write(text)) || writeBySelection(text);
  showBriefly(copied ? 'Copied' : 'The browser does not allow copying here.', COPIED_MS);
  if (!copied) return;
  const { label = [...button.childNodes], timer = 0 } = relabelled.get(button) ?? {};
  clearTimeout(timer);
  button.replaceChildren('Copied');
  const back = setTimeout(() => {
    relabelled.delete(button);
    button.replaceChildren(...label);
  }, COPIED_MS);
  relabelled.set(button, { label, timer: back });
}

/** Browsers allow this only over HTTPS and on localhost. */
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function writeBySelection(text) {
  const focused = document.activeElement;
  const area = element('textarea', 'unseen');
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}
