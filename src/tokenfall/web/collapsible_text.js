/**
 * A long question, collapsed to its first lines, with a button that shows the rest.
 */

import { button, element } from './elements.js';

/** Longer questions are collapsed. */
const LIMIT = { lines: 40, characters: 4000 };

/** The visible part of a collapsed question. */
const PREVIEW = { lines: 12, characters: 1200 };

/** The length of the visible part of `text`; its whole length if it is not collapsed. */
export function previewLength(text) {
  if (text.length <= LIMIT.characters && linesOf(text) <= LIMIT.lines) return text.length;
  let end = -1;
  for (let line = 0; line < PREVIEW.lines && end < PREVIEW.characters; line += 1) {
    end = text.indexOf('\n', end + 1);
    if (end < 0) break;
  }
  if (end >= 0 && end <= PREVIEW.characters) return end;
  return PREVIEW.characters - (/[\ud800-\udbff]/.test(text[PREVIEW.characters - 1]) ? 1 : 0); // never split a surrogate pair
}

const linesOf = (text) => text.split('\n').length;

function sizeOf(text) {
  const lines = linesOf(text);
  return lines > PREVIEW.lines ? `${lines.toLocaleString('en')} lines` : `${text.length.toLocaleString('en')} characters`;
}

/** Fills `body` with `text`; if it is long, collapses it and adds the button after `body`. */
export function fillCollapsible(body, text) {
  const end = previewLength(text);
  body.append(text.slice(0, end));
  if (end === text.length) return;
  const rest = element('span', 'rest', text.slice(end));
  const unfold = button('action unfold', {});
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
