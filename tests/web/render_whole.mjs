/** Markdown that is parsed and drawn at once, to compare with text that grows. */

import { CodeText } from '../../src/tokenfall/web/code_block.js';
import { parseInline } from '../../src/tokenfall/web/inline.js';
import { BlockParser } from '../../src/tokenfall/web/markdown.js';
import { directed, patch, shell } from '../../src/tokenfall/web/render.js';

/** The blocks of a text. */
export function parse(text) {
  const parser = new BlockParser();
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const line of lines) parser.line(line);
  return parser.root.children;
}

/** Blocks as elements. */
export function render(nodes) {
  return nodes.map((node) => directed(filled(node)));
}

function filled(node) {
  const { element, body } = shell(node);
  if (node.type === 'code') new CodeText(body, node).show(node, () => false);
  else if (node.children) body.append(...node.children.map(filled));
  else if ('text' in node) patch(body, null, parseInline(node.text).nodes);
  return element;
}
