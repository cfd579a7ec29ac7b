/**
 * The button "Speed", which shows a response's speed on hover, focus or tap. Screen readers get it as the button's name.
 */

import { button, element } from './elements.js';

/** @param pace the speed as text; see pace.js */
export function speedButton(pace) {
  const created = button('action timing', { 'aria-expanded': 'false' }, 'Speed ', element('span', 'pace', pace));
  created.addEventListener('click', () => {
    created.setAttribute('aria-expanded', String(created.getAttribute('aria-expanded') !== 'true'));
  });
  return created;
}
