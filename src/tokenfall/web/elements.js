/** Finds, creates and changes elements. It must never parse text as HTML. */

export const find = (selector) => document.querySelector(selector);

export function element(tag, className, ...children) {
  return Object.assign(create(tag, {}, ...children), { className });
}

/** A button that does not submit a form. */
export function button(className, attributes, ...children) {
  return create('button', { class: className, type: 'button', ...attributes }, ...children);
}

/** An element with these attributes. */
export function create(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.append(...children);
  return created;
}

/** Sets the text of a node only if it has changed, which saves layout and keeps a selection. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Adds or removes children at the end, so that there are `count`; `childAt` returns a new child for an index. */
export function resize(parent, count, childAt) {
  while (parent.childElementCount > count) parent.lastElementChild.remove();
  for (let n = parent.childElementCount; n < count; n += 1) parent.append(childAt(n));
}
