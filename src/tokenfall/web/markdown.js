/**
 * Parses Markdown into a tree of blocks, line by line, so that a streamed text is parsed only once.
 *
 * Nodes have `children` or `text`: { type: document|quote, children }, { type: list, ordered, start, children },
 * { type: item, loose, task, children }, { type: code, language, children: [{ type: lines, text }] },
 * { type: table, header, children }, { type: row, children }, { type: cell, align, text }, { type: heading, level,
 * text }, { type: paragraph, text }, { type: rule }. inline.js parses each `text`, except that of lines.
 * It follows CommonMark and GFM, except: no indented code, setext headings, reference links or HTML; a fence in a
 * list continues over lines that are not indented; an item is loose if a blank line precedes it; the lines of a
 * formula belong to its paragraph unchanged, up to its end or a blank line.
 * It must never touch the DOM, or change a closed block.
 */

import { endOfDisplayed } from './math.js';
import { aligned, alignOf, cellsOf, DELIMITERS } from './table.js';

const MAX_OPEN = 24; // nested blocks; deeper marks are text
const CHUNK = 2000; // characters of code, up to the next line end, that are laid out separately
const HEADER_REACH = 2000; // maximum length of the header row of a table

const QUOTE = /^[ \t]*> ?/;
const FENCE = /^([ \t]*)(`{3,}(?=[^`]*$)|~{3,})(.*)$/s;
const CLOSING = /^([ \t]*)(`+|~+)[ \t]*$/;
const HEADING = /^[ \t]*(#{1,6})(?:[ \t]+(.*))?$/s;
const RULE = /^[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const ITEM = /^([ \t]*)(?:([-*+])|(\d{1,9})([.)]))(?:([ \t]+)(.*))?$/s;
const TASK = /^\[([ xX])\][ \t]+(?=\S)/;
// Incomplete lines that may become another type of block.
const UNDECIDED = /^(?:\d{1,9}[.)]?|`{1,2}|~{1,2}|\+|([-*_])(?:[ \t]*\1)*|\[[ xX]?\]?)$/;

/** The text of an open block, without a last line that may become a table's header. */
export function decidedText({ type, text }) {
  const from = text.lastIndexOf('\n') + 1;
  const mayBeHeader = type === 'paragraph' && text[from] === '|' && text.length - from <= HEADER_REACH;
  return mayBeHeader ? text.slice(0, Math.max(0, from - 1)) : text;
}

/** The text of a task, with a box for its brackets. */
function withBox(content, [brackets, mark]) {
  return `${mark === ' ' ? '☐' : '☑'} ${content.slice(brackets.length)}`;
}

export class BlockParser {
  root = { type: 'document', children: [] };
  #open = [{ node: this.root }]; // from the root to the leaf that the next line may continue
  #blank = false; // the last line was blank
  #partial = false;

  /** Adds a complete line, without its line feed. */
  line(text) {
    this.#feed(text.replace(/\r$/, '').replaceAll('\0', '\ufffd'));
  }

  /**
   * Calls `show(root, isOpen)` with the tree that includes `text` as the start of the next line, then restores the tree.
   * A start that does not determine its block yet is omitted.
   */
  peek(text, show) {
    const undo = this.#undo();
    this.#partial = true;
    if (!this.#feed(text.replaceAll('\0', '\ufffd'))) undo();
    this.#partial = false;
    show(this.root, (node) => this.#open.some((frame) => frame.node === node));
    undo();
  }

  #undo() {
    const open = [...this.#open];
    const blank = this.#blank;
    const nodes = open.map(({ node }) => node);
    const last = nodes.at(-1).children?.at(-1);
    const sizes = [...nodes, ...(last ? [last] : [])].map((node) => [node, node.children?.length, node.text]);
    return () => {
      this.#open = [...open];
      this.#blank = blank;
      for (const [node, length, text] of sizes) {
        if (node.children) node.children.length = length;
        else if ('text' in node) node.text = text;
      }
    };
  }

  /** Returns false if the block of a partial line is undecided; the tree may then be partly changed. */
  #feed(line) {
    const [depth, rest] = this.#descend(line);
    const leaf = this.#open[depth]?.node.type;
    if (leaf === 'code') return this.#addCode(this.#open[depth], rest);
    if (rest.trim() === '') return this.#addBlank(depth);
    return this.#addBlocks(depth, rest, leaf);
  }

  /** The number of open blocks that the line continues, and the rest of the line. */
  #descend(line) {
    const fenced = this.#open.at(-1).node.type === 'code';
    let rest = line;
    for (let depth = 1; depth < this.#open.length; depth += 1) {
      const left = continued(this.#open[depth], rest, fenced);
      if (left === null) return [depth, rest];
      rest = left;
    }
    return [this.#open.length, rest];
  }

  #addBlank(depth) {
    this.#open.length = depth;
    this.#blank = true;
    return !this.#partial;
  }

  #addBlocks(at, rest, inside) {
    if (inside === 'paragraph' && this.#open[at].formulaEnd) return this.#addFormula(this.#open[at], rest);
    const block = leafOf(rest);
    if (block) return this.#addLeaf(at, block);
    const inner = at < MAX_OPEN ? this.#enter(at, rest, inside) : null;
    if (inner === null) return this.#addText(at, rest, inside);
    return inner.trim() === '' ? !this.#partial : this.#addBlocks(this.#open.length, inner, '');
  }

  /** Adds a block to the one at `depth - 1`, and closes the open blocks from `depth` on. */
  #add(depth, frame) {
    this.#open.length = depth;
    if (this.#open.at(-1).node.type === 'list' && frame.node.type !== 'item') this.#open.pop();
    this.#open.at(-1).node.children.push(frame.node);
    this.#open.push(frame);
    this.#blank = false;
    return true;
  }

  #addLeaf(at, frame) {
    const { type, text } = frame.node;
    if (this.#partial && !text) return false;
    this.#add(at, frame);
    if (type !== 'code' && !this.#partial) this.#open.pop();
    return true;
  }

  /** Opens the quote or list item that starts here and returns the rest of the line; null if there is none. */
  #enter(at, rest, inside) {
    const quote = QUOTE.exec(rest);
    if (quote) {
      this.#add(at, { node: { type: 'quote', children: [] } });
      return rest.slice(quote[0].length);
    }
    const item = ITEM.exec(rest);
    if (!item || (inside === 'paragraph' && !interrupts(item))) return null;
    return this.#addItem(at, item);
  }

  #addItem(at, [, indent, bullet, number = '', delimiter, space = '', content = '']) {
    const loose = this.#blank;
    const isContinued = this.#beginList(at, { marker: bullet ?? delimiter, ordered: !bullet, start: Number(number || 1) });
    const task = TASK.exec(content);
    const from = columns(indent) + number.length + 1;
    const width = columns(space, from) - from;
    this.#add(isContinued ? at : this.#open.length, {
      node: { type: 'item', loose: isContinued && loose, task: task !== null, children: [] },
      indent: from + (content && width < 5 ? width : 1),
    });
    return task ? withBox(content, task) : content;
  }

  /** Begins a list for an item, unless the item continues the open list. Returns whether it continues it. */
  #beginList(at, { marker, ordered, start }) {
    const list = this.#open[at - 1];
    if (list.node.type === 'list' && list.marker === marker) return true;
    this.#add(at, { node: { type: 'list', ordered, start, children: [] }, marker });
    return false;
  }

  #addText(at, rest, inside) {
    const text = rest.trimStart();
    const { node } = this.#open.at(-1);
    if (this.#partial && isUndecided(text, node)) return false;
    if (inside === 'table' && this.#addRow(this.#open[at], text)) return true;
    if (inside === 'paragraph' && this.#addTable(at, text)) return true;
    if (node.type !== 'paragraph') this.#add(at, { node: { type: 'paragraph', text } });
    else node.text += `\n${text}`; // also without indentation or quote marks
    if (!this.#partial) this.#open.at(-1).formulaEnd = endOfDisplayed(text);
    this.#blank = false;
    return true;
  }

  #addFormula(frame, rest) {
    frame.node.text += `\n${rest}`;
    if (!this.#partial && rest.includes(frame.formulaEnd)) frame.formulaEnd = '';
    return true;
  }

  /** Turns the paragraph's last line into a table's header if `text` is its delimiter row. */
  #addTable(at, text) {
    if (!DELIMITERS.test(text.trim())) return false; // the cheap test comes first
    const { node } = this.#open[at];
    const from = node.text.lastIndexOf('\n') + 1;
    const header = node.text.slice(from);
    const aligns = cellsOf(text).map(alignOf);
    const cells = cellsOf(header);
    if (!header.includes('|') || header.length > HEADER_REACH || cells.length !== aligns.length) return false;
    if (from > 0) node.text = node.text.slice(0, from - 1);
    else this.#open[at - 1].node.children.pop();
    const table = { type: 'table', header: aligned(cells, aligns), children: [] };
    return this.#add(at, { node: table, aligns, piped: header[0] === '|' });
  }

  /** Rows are not padded with cells: a few characters could create a thousand of them. */
  #addRow({ node, aligns, piped }, text) {
    if (piped && text[0] !== '|') return false;
    const row = { type: 'row', children: aligned(cellsOf(text).slice(0, aligns.length), aligns) };
    node.children.push(row);
    if (this.#partial) this.#open.push({ node: row }, { node: row.children.at(-1) });
    return true;
  }

  #addCode({ node, fence, indent }, rest) {
    const closing = CLOSING.exec(rest);
    const mayClose = closing?.[2][0] === fence[0] && columns(closing[1]) < indent + 4;
    if (this.#partial && (mayClose || rest.trim() === '')) return false;
    if (mayClose && closing[2].length >= fence.length) {
      this.#open.pop();
      return true;
    }
    const text = unindented(rest, indent);
    const last = node.children.at(-1);
    if (last) last.text += '\n';
    if (last && last.text.length < CHUNK) last.text += text;
    else node.children.push({ type: 'lines', text });
    return true;
  }
}

function leafOf(rest) {
  const fence = FENCE.exec(rest);
  if (fence) {
    const [, indent, marks, info] = fence;
    const node = { type: 'code', language: /^\S{0,40}/.exec(info.trim())[0], children: [] };
    return { node, fence: marks, indent: columns(indent) };
  }
  const heading = HEADING.exec(rest);
  if (heading) return { node: { type: 'heading', level: heading[1].length, text: titleOf(heading[2] ?? '') } };
  return RULE.test(rest) ? { node: { type: 'rule' } } : null;
}

/** The rest of the line for the blocks inside this one; null if the line does not continue it. */
function continued({ node, indent }, rest, fenced) {
  switch (node.type) {
    case 'list': return rest;
    case 'quote': return QUOTE.test(rest) ? rest.replace(QUOTE, '') : null;
    case 'item':
      if (rest.trim() === '') return node.children.length > 0 ? rest : null;
      return fenced || columns(/^[ \t]*/.exec(rest)[0]) >= indent ? unindented(rest, indent) : null;
    default: return null;
  }
}

/** A paragraph is interrupted only by an item with text and, if ordered, with the number 1. */
function interrupts([, , bullet, number, , , content]) {
  return Boolean(content) && (Boolean(bullet) || Number(number) === 1);
}

function isUndecided(text, { type, text: before = '' }) {
  if (UNDECIDED.test(text.trimEnd())) return true;
  if (type === 'table') return /^\|[ \t]*$/.test(text);
  return type === 'paragraph' && /^[ \t|:-]+$/.test(text) && before.includes('|', before.lastIndexOf('\n') + 1);
}

/** The column after white space, with a tab stop every four columns. */
function columns(space, from = 0) {
  let column = from;
  for (const c of space) column = afterSpace(column, c);
  return column;
}

function afterSpace(column, c) {
  return c === '\t' ? column + 4 - (column % 4) : column + 1;
}

/** The line without up to `indent` columns of white space. */
function unindented(line, indent) {
  let [end, width] = [0, 0];
  for (; width < indent && /[ \t]/.test(line[end] ?? ''); end += 1) width = afterSpace(width, line[end]);
  return ' '.repeat(Math.max(0, width - indent)) + line.slice(end);
}

/** A heading's text without its closing `#`s. */
function titleOf(text) {
  const trimmed = text.trimEnd();
  let end = trimmed.length;
  while (trimmed[end - 1] === '#') end -= 1;
  return end === 0 || /[ \t]/.test(trimmed[end - 1]) ? trimmed.slice(0, end).trimEnd() : trimmed;
}
