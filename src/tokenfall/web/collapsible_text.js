/**
 * A long question, folded: its first lines, and a button that shows the rest.
 *
 * It must never fold a short question, or remove a character: the hidden part stays in the page.
 */

import { button, element } from './elements.js';

/** Questions beyond these are folded. */
const LIMIT = { lines: 40, characters: 4000 };

/** The part of them that is shown. */
const PREVIEW = { lines: 12, characters: 1200 };

/** The length of the shown part of `text`; its whole length if it is not folded. */
export function previewLength(text) {
  if (text.length <= LIMIT.characters && linesOf(text) <= LIMIT.lines) return text.length;
  let end = -1;
  for (let line = 0; line < PREVIEW.lines && end < PREVIEW.characters; line += 1) {
    end = text.indexOf('\n', end + 1);
    if (end < 0) break;
  }
  if (end >= 0 && end <= PREVIEW.characters) return end;
  return PREVIEW.characters - (/[\ud800-\udbff]/.test(text[PREVIEW.characters - 1]) ? 1 : 0); // not half a character
}

function linesOf(text) {
  let lines = 1;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines += 1;
  return lines;
}

function sizeOf(text) {
  const lines = linesOf(text);
  return lines > PREVIEW.lines ? `${lines.toLocaleString('en')} lines` : `${text.length.toLocaleString('en')} characters`;
}

/** Puts `text` into `body`, folded if it is long, with the button after it. */
export function fillCollapsible(body, text) {
  const end = previewLength(text);
  body.append(text.slice(0, end));
  if (end === text.length) return;
  const rest = element('span', 'rest', text.slice(end));
  const unfold = button('action unfold');
  const show = (isOpen) => {
    rest.hidden = !isOpen;
    body.classList.toggle('folded', !isOpen);
    unfold.textContent = isOpen ? 'Show less' : `Show all (${sizeOf(text)})`;
    unfold.setAttribute('aria-expanded', String(isOpen));
  };
  show(false);
  unfold.addEventListener('click', () => show(rest.hidden));
  body.append(rest);
  body.after(unfold);
}
