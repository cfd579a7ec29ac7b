/**
 * The menu of a conversation in the list: one menu for all entries, opened by the button of each.
 */

import { find } from './elements.js';

export class EntryMenu {
  #box = find('#entry-menu');
  #opener = null; // the button that was pressed

  /** @param on { rename(id), pin(id), remove(id), isPinned(id) } */
  constructor(list, on) {
    // Runs before the browser opens the menu (popovertarget).
    list.addEventListener('click', ({ target }) => (this.#opener = target.closest('.more') ?? this.#opener));
    for (const act of ['rename', 'pin', 'remove']) {
      this.#box.querySelector(`[data-action=${act}]`).addEventListener('click', () => {
        const id = this.#conversation;
        this.#box.hidePopover(); // returns the focus to the button, where dialogs restore it
        on[act](id);
      });
    }
    this.#box.addEventListener('beforetoggle', ({ newState }) => {
      if (newState !== 'open') return;
      const pinned = on.isPinned(this.#conversation);
      this.#box.querySelector('[data-action=pin]').textContent = pinned ? 'Unpin' : 'Pin';
      this.#place();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#box.matches(':popover-open')) return;
      event.preventDefault();
      event.stopImmediatePropagation(); // Escape would also close the drawer or stop a response
      this.#box.hidePopover();
    }, { capture: true });
    this.#box.addEventListener('focusout', ({ relatedTarget }) => relatedTarget && !this.#box.contains(relatedTarget) && this.#box.hidePopover());
    list.addEventListener('scroll', () => this.#box.hidePopover());
    addEventListener('resize', () => this.#box.hidePopover());
  }

  /** The id of the conversation whose button was pressed. */
  get #conversation() {
    return this.#opener.closest('li').querySelector('a').dataset.id;
  }

  /** Places the menu below the button, or above it in the lower half of the page, aligned at the right. */
  #place() {
    const { top, bottom, right } = this.#opener.getBoundingClientRect();
    const isLow = bottom > innerHeight / 2;
    this.#box.style.inset = isLow ? `auto ${innerWidth - right}px ${innerHeight - top}px auto` : `${bottom}px ${innerWidth - right}px auto auto`;
  }
}
