/**
 * Shows or hides the list of conversations: the drawer on a narrow screen, else the column, whose state is stored on
 * this device and restored by theme.js.
 */

import { writeDevice } from './device_storage.js';

const find = (selector) => document.querySelector(selector);

export class SidebarToggle {
  #opener = find('#sidebar-open');

  constructor() {
    this.#opener.addEventListener('click', () => this.#isDrawer || this.#hide(false));
    find('#sidebar-close').addEventListener('click', () => this.#isDrawer || this.#hide(true));
  }

  act() {
    if (this.#isDrawer) find(this.#opener.ariaExpanded === 'true' ? '#sidebar-close' : '#sidebar-open').click();
    else this.#hide(!document.documentElement.classList.contains('list-hidden'));
  }

  get #isDrawer() {
    return getComputedStyle(find('#sidebar')).position === 'fixed';
  }

  #hide(hidden) {
    document.documentElement.classList.toggle('list-hidden', hidden);
    writeDevice('list', hidden ? 'hidden' : '');
    this.#opener.setAttribute('aria-expanded', String(!hidden));
    find(hidden ? '#draft' : '#new').focus();
  }
}
