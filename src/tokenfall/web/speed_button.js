/**
 * The button "Speed", which shows a response's speed on hover, focus or tap. Screen readers get it as the button's name.
 */

import { button, element } from './elements.js';

/** @param pace the speed as text; see pace.js */
export function speedButton(pace) {
  const made = button('action timing', 'Speed ', element('span', 'pace', pace));
  made.setAttribute('aria-expanded', 'false');
  made.addEventListener('click', () => {
    made.setAttribute('aria-expanded', String(made.getAttribute('aria-expanded') !== 'true'));
  });
  return made;
}
