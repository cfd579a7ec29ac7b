/**
 * Copies what a message or a code block says.
 *
 * It must never read the clipboard, nor copy what the reader did not ask for.
 */

import { showBriefly } from './notice.js';

const SHOWN_MS = 2000;
const saying = new WeakMap(); // buttons that say "Copied": what they said before, and the timer until they do again

/** Copies `text` and says so on `button`, and as the status. */
export async function copy(text, button) {
  const copied = (await written(text)) || writtenBySelection(text);
  showBriefly(copied ? 'Copied' : 'The browser does not allow copying here.', SHOWN_MS);
  if (!copied) return;
  const { label = [...button.childNodes], timer = 0 } = saying.get(button) ?? {};
  clearTimeout(timer);
  button.replaceChildren('Copied');
  const back = setTimeout(() => {
    saying.delete(button);
    button.replaceChildren(...label);
  }, SHOWN_MS);
  saying.set(button, { label, timer: back });
}

/** Only over HTTPS and on this machine has the browser a clipboard to give. */
async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function writtenBySelection(text) {
  const focused = document.activeElement;
  const area = document.createElement('textarea');
  area.className = 'unseen';
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}
