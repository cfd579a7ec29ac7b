/**
 * Creates elements from Markdown nodes. Only elements and attributes listed here are possible.
 *
 * It must never parse HTML, load anything, or create a link to a URL that inline.js rejected.
 */

import { codeShell } from './code_block.js';
import { create } from './elements.js';
import { parseInline } from './inline.js';

const INLINE = { strong: 'strong', em: 'em', strike: 'del', code: 'code', math: 'span', link: 'a', break: 'br' };
const MATH = { class: 'math', dir: 'ltr', translate: 'no' };
const LINK = { target: '_blank', rel: 'noopener noreferrer nofollow', referrerpolicy: 'no-referrer' };
const SHELLS = {
  paragraph: () => create('p'),
  heading: ({ level }) => create(`h${Math.min(level + 2, 6)}`),
  rule: () => create('hr'),
  quote: () => create('blockquote'),
  list: ({ ordered, start }) => (ordered ? create('ol', start === 1 ? {} : { start }) : create('ul')),
  item: ({ loose, task }) => create('li', classes(loose && 'loose', task && 'task')),
  row: () => create('tr'),
  cell: ({ align }) => create('td', classes(align)),
};

/** Sets the text direction of a block by its own text; its children inherit it. */
export function directed(element) {
  element.setAttribute('dir', 'auto');
  return element;
}

/** The element of a block, and its `body` for the content. */
export function shell(node) {
  if (node.type === 'code') return codeShell(node);
  if (node.type === 'table') return tableShell(node);
  const element = SHELLS[node.type](node);
  return { element, body: element };
}

/** Makes the children of `parent` after `last` (null: all) show `nodes`; matching children are kept. */
export function patch(parent, last, nodes) {
  let child = last ? last.nextSibling : parent.firstChild;
  for (const node of nodes) {
    const next = child?.nextSibling ?? null;
    if (!child) parent.append(inline(node));
    else if (!adapted(child, node)) child.replaceWith(inline(node));
    child = next;
  }
  while (child) {
    const next = child.nextSibling;
    child.remove();
    child = next;
  }
}

function classes(...names) {
  const given = names.filter(Boolean);
  return given.length > 0 ? { class: given.join(' ') } : {};
}

function tableShell({ header }) {
  const body = create('tbody');
  const cells = header.map(({ align, text }) => {
    const cell = create('th', { scope: 'col', ...classes(align) });
    patch(cell, null, parseInline(text).nodes);
    return cell;
  });
  const table = create('table', {}, create('thead', {}, create('tr', {}, ...cells)), body);
  return { element: create('div', { class: 'table', tabindex: 0, role: 'group', 'aria-label': 'Table' }, table), body };
}

function inline(node) {
  if (node.type === 'text') return document.createTextNode(node.text);
  const element = create(INLINE[node.type], node.type === 'math' ? MATH : node.href ? linkAttributes(node) : {});
  if (node.type === 'code' || node.type === 'math') element.append(node.text);
  else if (node.children) patch(element, null, node.children);
  return element;
}

function linkAttributes({ href, title }) {
  return { href, ...(title && { title }), ...LINK };
}

/** Changes a child so that it shows `node`; returns false if it must be replaced. */
function adapted(child, node) {
  if (child.localName !== INLINE[node.type]) return false; // both undefined for text
  if (node.type === 'link' && (node.href || child.getAttribute('href'))) return false;
  if (node.type === 'text') retext(child, node.text);
  else if (node.type === 'code' || node.type === 'math') retext(child.firstChild, node.text);
  else patch(child, null, node.children ?? []);
  return true;
}

function retext(text, data) {
  if (!data.startsWith(text.data)) text.data = data;
  else if (data.length > text.data.length) text.appendData(data.slice(text.data.length));
}
