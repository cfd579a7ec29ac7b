/** Creates elements from texts and elements. It must never parse text as HTML. */

export function element(tag, className, ...children) {
  return Object.assign(of(tag, {}, ...children), { className });
}

/** A button that does not submit a form. */
export function button(className, ...children) {
  return Object.assign(element('button', className, ...children), { type: 'button' });
}

/** An element with these attributes. */
export function of(tag, attributes = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.append(...children);
  return created;
}
