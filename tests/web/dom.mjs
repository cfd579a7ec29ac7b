/**
 * A minimal DOM with the features that render.js and streaming_markdown.js use, for tests without a browser.
 *
 * It cannot parse HTML, and access to a missing feature throws.
 * `markup` serializes a tree for comparison, with adjacent text nodes merged.
 */

class Node {
  parent = null;

  get nextSibling() {
    const siblings = this.parent?.childNodes ?? [];
    return siblings[siblings.lastIndexOf(this) + 1] ?? null; // search from the end, where nodes are appended
  }

  remove() {
    if (!this.parent) return;
    const siblings = this.parent.childNodes;
    siblings.splice(siblings.lastIndexOf(this), 1);
    this.parent = null;
    changes.count += 1;
  }

  replaceWith(node) {
    const { parent } = this;
    const at = parent.childNodes.indexOf(this);
    this.remove();
    node.remove();
    parent.childNodes.splice(at, 0, node);
    node.parent = parent;
    changes.count += 1;
  }
}

class Text extends Node {
  nodeType = 3;
  #data = '';

  constructor(data) {
    super();
    this.#data = String(data);
  }

  get data() {
    return this.#data;
  }

  set data(text) {
    this.#data = String(text);
    changes.count += 1;
  }

  get length() {
    return this.#data.length;
  }

  get textContent() {
    return this.#data;
  }

  appendData(text) {
    this.data += text;
  }
}

export class Element extends Node {
  nodeType = 1;
  childNodes = [];
  attributes = new Map();

  constructor(name) {
    super();
    if (!/^[a-z][a-z0-9]*$/.test(name)) throw new TypeError(`not a tag: ${name}`);
    this.localName = name;
  }

  get firstChild() {
    return this.childNodes[0] ?? null;
  }

  get lastChild() {
    return this.childNodes.at(-1) ?? null;
  }

  get textContent() {
    return this.childNodes.map((node) => node.textContent).join('');
  }

  setAttribute(name, value) {
    this.attributes.set(name, String(value));
  }

  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }

  append(...nodes) {
    for (const given of nodes) {
      const node = given instanceof Node ? given : new Text(given);
      node.remove();
      node.parent = this;
      this.childNodes.push(node);
      changes.count += 1;
    }
  }

  replaceChildren(...nodes) {
    for (const node of [...this.childNodes]) node.remove();
    this.append(...nodes);
  }
}

/** Counts the changes of all trees, to check that unchanged elements are not touched. */
export const changes = { count: 0 };

export const document = {
  createElement: (name) => new Element(name),
  createTextNode: (data) => new Text(data),
};

/** Sets the global `document` for the modules under test. */
export function installDocument() {
  globalThis.document = document;
}

/** Serializes a tree; equal trees give equal strings. Adjacent texts are merged, quotes in values escaped. */
export function markup(node) {
  if (node.nodeType === 3) return node.data.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
  const attributes = [...node.attributes].sort().map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  return `<${node.localName}${attributes.join('')}>${node.childNodes.map(markup).join('')}</${node.localName}>`;
}

/** All elements under `node`, including itself. */
export function* elements(node) {
  if (node.nodeType !== 1) return;
  yield node;
  for (const child of node.childNodes) yield* elements(child);
}
