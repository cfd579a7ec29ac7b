/**
 * A code block as DOM: a header with its language, Wrap and Copy, and highlighted text, which must equal the source.
 */

import { button, create } from './elements.js';
import { Highlighter } from './highlight.js';

const MAX_HIGHLIGHTED = 50_000; // characters of a block that are highlighted

/** The element of a block, and its `body` for the text. */
export function codeShell({ language }) {
  const wrap = button('wrap', { 'data-wrap': '', 'aria-pressed': 'false' }, 'Wrap');
  const copy = button('copy', { 'data-copy': 'code' }, 'Copy');
  const caption = create('figcaption', {}, create('span', { class: 'language' }, language || 'code'), ' ', wrap, ' ', copy);
  const body = create('code');
  const label = language ? `Code: ${language}` : 'Code';
  const text = create('pre', { tabindex: 0, dir: 'ltr' }, body);
  return { element: create('figure', { class: 'code', 'aria-label': label }, caption, text), body };
}

/** Switches line wrapping in the block of the pressed button. */
export function toggleWrap(pressed) {
  const isWrapped = pressed.closest('figure').classList.toggle('wrapped');
  pressed.setAttribute('aria-pressed', String(isWrapped));
}

/** The text of a block, which only grows. Its parts (`lines` in markdown.js) are laid out separately. */
export class CodeText {
  #body;
  #highlighter;
  #part = -1; // index of the last part shown
  #lines = null; // its element
  #shown = 0; // its characters shown
  #left = MAX_HIGHLIGHTED; // characters still to highlight
  #kind = null; // of the last piece
  #text = null; // its text node

  constructor(body, { language }) {
    this.#body = body;
    this.#highlighter = new Highlighter(language);
  }

  /** @param isOpen(node) returns whether the block may still grow */
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
    this.#lines = create('span', { class: 'lines' });
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
    this.#lines.append(kind ? create('span', { class: kind }, this.#text) : this.#text);
  }
}
