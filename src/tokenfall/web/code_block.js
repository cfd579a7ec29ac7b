/**
 * A block of code as DOM: a header with its language, Wrap and Copy, and the text in the colours of its parts.
 *
 * It must never parse text as HTML, change what is drawn, or differ in its text from the source.
 */

import { of } from './elements.js';
import { Highlighter } from './highlight.js';

const MAX_COLORED = 50_000; // characters of a block that are coloured

/** The element of a block without its text, and `body`, where that goes. */
export function codeShell({ language }) {
  const wrap = of('button', { type: 'button', class: 'wrap', 'data-wrap': '', 'aria-pressed': 'false' }, 'Wrap');
  const copy = of('button', { type: 'button', class: 'copy', 'data-copy': 'code' }, 'Copy');
  const caption = of('figcaption', {}, of('span', { class: 'language' }, language || 'code'), ' ', wrap, ' ', copy);
  const body = of('code');
  const label = language ? `Code: ${language}` : 'Code';
  const text = of('pre', { tabindex: 0, dir: 'ltr' }, body);
  return { element: of('figure', { class: 'code', 'aria-label': label }, caption, text), body };
}

/** Switches line wrapping in the block of this button. */
export function toggleWrap(button) {
  const isWrapped = button.closest('figure').classList.toggle('wrapped');
  button.setAttribute('aria-pressed', String(isWrapped));
}

/** The text of a block, which only grows. Its parts, `lines` in markdown.js, are laid out on their own. */
export class CodeText {
  #body;
  #highlighter;
  #part = -1; // the last that is shown
  #lines = null; // its element
  #shown = 0; // characters of it
  #left = MAX_COLORED;
  #kind = null; // of the last piece
  #text = null; // its text node

  constructor(body, { language }) {
    this.#body = body;
    this.#highlighter = new Highlighter(language);
  }

  /** @param isOpen(node) returns whether more of the block may follow */
  show(node, isOpen) {
    for (let part = Math.max(0, this.#part); part < node.children.length; part += 1) {
      if (part > this.#part) this.#begin(part);
      const text = node.children[part].text.slice(this.#shown);
      this.#shown += text.length;
      this.#add(text);
    }
    if (!isOpen(node)) this.#flush();
  }

  #begin(part) {
    this.#part = part;
    this.#lines = of('span', { class: 'lines' });
    this.#body.append(this.#lines);
    this.#shown = 0;
    this.#kind = null;
  }

  #add(text) {
    const coloured = text.slice(0, this.#left);
    const isLast = this.#left > 0 && this.#left === coloured.length;
    for (const [kind, piece] of this.#highlighter.take(coloured, isLast)) this.#write(kind, piece);
    this.#left -= coloured.length;
    this.#write('', text.slice(coloured.length));
  }

  #flush() {
    for (const [kind, piece] of this.#highlighter.take('', true)) this.#write(kind, piece);
  }

  #write(kind, piece) {
    if (piece === '') return;
    if (kind === this.#kind) {
      this.#text.appendData(piece);
      return;
    }
    this.#kind = kind;
    this.#text = document.createTextNode(piece);
    this.#lines.append(kind ? of('span', { class: kind }, this.#text) : this.#text);
  }
}
