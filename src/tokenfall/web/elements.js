/** Makes elements from texts and elements. It must never parse text as HTML. */

export function element(tag, className, ...children) {
  return Object.assign(of(tag, {}, ...children), { className });
}

/** A button that submits no form. */
export function button(className, ...children) {
  return Object.assign(element('button', className, ...children), { type: 'button' });
}

/** An element with attributes by name. */
export function of(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
