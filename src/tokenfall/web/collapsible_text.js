/**
 * A long question, folded: its first lines, and a button that shows the rest.
 *
 * It must never fold a short question, or remove a character: the hidden part stays in the page.
 */

import { button, element } from './elements.js';

/** Questions beyond these are folded. */
const MOST = { lines: 40, characters: 4000 };

/** The part of them that is shown. */
const FIRST = { lines: 12, characters: 1200 };

/** The length of the shown part of `text`; its whole length if it is not folded. */
export function foldOf(text) {
  if (text.length <= MOST.characters && linesOf(text) <= MOST.lines) return text.length;
  let end = -1;
  for (let line = 0; line < FIRST.lines && end < FIRST.characters; line += 1) {
    end = text.indexOf('\n', end + 1);
    if (end < 0) break;
  }
  if (end >= 0 && end <= FIRST.characters) return end;
  return FIRST.characters - (/[\ud800-\udbff]/.test(text[FIRST.characters - 1]) ? 1 : 0); // not half a character
}

function linesOf(text) {
  let lines = 1;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines += 1;
  return lines;
}

function sizeOf(text) {
  const lines = linesOf(text);
  return lines > FIRST.lines ? `${lines.toLocaleString('en')} lines` : `${text.length.toLocaleString('en')} characters`;
}

/** Puts `text` into `body`, folded if it is long, with the button after it. */
export function fillFolded(body, text) {
  const end = foldOf(text);
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
