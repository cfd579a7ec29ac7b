/**
 * Renders Markdown while it arrives, at a cost per token that does not grow with its length.
 *
 * Each block keeps its element. In an open block, only the text that may still change is parsed and drawn again. It must
 * never change a closed block, and the final result must equal the same text rendered at once.
 */

import { CodeText } from './code_block.js';
import { parseInline } from './inline.js';
import { BlockParser, decidedText } from './markdown.js';
import { directed, patch, shell } from './render.js';

const MAX_TEXT_NODE = 2000; // characters, then settled text continues in another node
const HALF = /[\ud800-\udbff\r]/; // the first half of a split surrogate pair or CRLF

export class StreamingMarkdown {
  #parser = new BlockParser();
  #shown;
  #text = '';
  #line = ''; // an incomplete line

  /** @param box an element whose content is replaced */
  constructor(box) {
    box.replaceChildren();
    this.#shown = new Blocks(box, directed);
  }

  /** The whole text. */
  get text() {
    return this.#text;
  }

  /** Draws at once: call it once per frame, with the text received since. */
  append(text) {
    this.#text += text;
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop();
    for (const line of lines) this.#parser.line(line);
    const whole = HALF.test(this.#line.at(-1) ?? '') ? this.#line.slice(0, -1) : this.#line;
    this.#parser.peek(whole, (root, isOpen) => this.#shown.show(root, isOpen));
  }

  /** Draws the final state: unclosed marks become text. Nothing may be appended after it. */
  end() {
    if (this.#line !== '') this.#parser.line(this.#line);
    this.#shown.show(this.#parser.root, () => false);
  }
}

/** The children of a block. Between calls, only the last child may change, and others may be added after it. */
class Blocks {
  #body;
  #wrap;
  #count = 0;
  #last = null;

  constructor(body, wrap = (element) => element) {
    this.#body = body;
    this.#wrap = wrap;
  }

  show({ children }, isOpen) {
    for (let at = Math.max(0, this.#count - 1); at < children.length; at += 1) {
      this.#showAt(at, children[at], isOpen);
    }
  }

  #showAt(at, node, isOpen) {
    const key = keyOf(node);
    if (at === this.#count || this.#last.key !== key) {
      const { element, body } = shell(node);
      if (at < this.#count) this.#body.lastChild.remove();
      this.#body.append(this.#wrap(element));
      this.#last = { key, content: contentOf(node, body) };
      this.#count = at + 1;
    }
    this.#last.content?.show(node, isOpen);
  }
}

/** Identifies a block without its content. */
function keyOf(node) {
  return JSON.stringify({ ...node, children: undefined, text: undefined });
}

function contentOf(node, body) {
  if (node.type === 'code') return new CodeText(body, node);
  if (node.children) return new Blocks(body);
  return 'text' in node ? new Inline(body) : null;
}

/** The text of a paragraph, heading or cell. Its settled prefix is drawn once. */
class Inline {
  #body;
  #settled = '';
  #last = null; // the last node of the settled prefix

  constructor(body) {
    this.#body = body;
  }

  show(node, isOpen) {
    const open = isOpen(node);
    const text = open ? decidedText(node) : node.text;
    if (!text.startsWith(this.#settled)) [this.#settled, this.#last] = ['', null];
    const rest = text.slice(this.#settled.length);
    const { nodes, settled } = parseInline(rest, open);
    if (!open || settled === 0) {
      patch(this.#body, this.#last, nodes);
      return;
    }
    this.#settle(rest.slice(0, settled), parseInline(rest.slice(settled), true).nodes);
  }

  #settle(text, open) {
    const { nodes } = parseInline(text);
    const [first] = nodes;
    if (first.type === 'text' && this.#last?.nodeType === 3 && this.#last.length < MAX_TEXT_NODE) {
      this.#last.appendData(first.text);
      nodes.shift();
    }
    patch(this.#body, this.#last, [...nodes, ...open]);
    for (let { length } = nodes; length > 0; length -= 1) {
      this.#last = this.#last ? this.#last.nextSibling : this.#body.firstChild;
    }
    this.#settled += text;
  }
}
