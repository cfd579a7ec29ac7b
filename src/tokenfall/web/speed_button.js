/**
 * The speed of a response as DOM: a short label, and the figures on hover, focus or tap.
 *
 * It must never keep the figures from a screen reader, which reads them as the button's name.
 */

import { button, element } from './elements.js';

/** @param pace the text of pace.js */
export function speedButton(pace) {
  const made = button('action timing', 'Speed ', element('span', 'pace', pace));
  made.setAttribute('aria-expanded', 'false');
  made.addEventListener('click', () => {
    made.setAttribute('aria-expanded', String(made.getAttribute('aria-expanded') !== 'true'));
  });
  return made;
}
