/**
 * Shows or hides the list of conversations by one command: on a narrow screen the drawer, on a wide one the column.
 *
 * It must never leave the focus in what is hidden.
 */

const find = (selector) => document.querySelector(selector);

export class ListSwitch {
  #opener = find('#sidebar-open');

  constructor() {
    this.#opener.addEventListener('click', () => this.#isDrawer || this.#hide(false));
  }

  act() {
    if (this.#isDrawer) find(this.#opener.ariaExpanded === 'true' ? '#sidebar-close' : '#sidebar-open').click();
    else this.#hide(!document.body.classList.contains('list-hidden'));
  }

  get #isDrawer() {
    return getComputedStyle(find('#sidebar')).position === 'fixed';
  }

  #hide(hidden) {
    document.body.classList.toggle('list-hidden', hidden);
    this.#opener.setAttribute('aria-expanded', String(!hidden));
    find(hidden ? '#draft' : '#new').focus();
  }
}
