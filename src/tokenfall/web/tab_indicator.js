/**
 * The tab's title and icon, which show that a response has ended while the tab was hidden, until it is visible again.
 */

import { find } from './elements.js';

const ICON = 'data:image/svg+xml,' + encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0b4f63"/>'
  + '<circle cx="16" cy="16" r="9" fill="#ffd166"/></svg>',
);

export class TabIndicator {
  #icon = find('link[rel=icon]');
  #defaultIcon = this.#icon.getAttribute('href');
  #title = document.title;
  #prefix = ''; // of the title
  #conversation = null; // the one with a response in progress

  constructor() {
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#show(''));
  }

  setTitle(title) {
    this.#title = title;
    this.#show(this.#prefix);
  }

  /** A response in `conversation` begins. */
  begin(conversation) {
    this.#conversation = conversation;
  }

  /** It has ended as `end` describes, '' if that is unknown. */
  end(conversation, end) {
    const isPending = this.#conversation === conversation;
    this.#conversation = null;
    if (isPending && document.visibilityState !== 'visible') this.#show(end || 'Not complete');
  }

  #show(prefix) {
    this.#prefix = prefix;
    document.title = prefix ? `● ${prefix} · ${this.#title}` : this.#title;
    const href = prefix ? ICON : this.#defaultIcon;
    if (this.#icon.getAttribute('href') !== href) this.#icon.href = href;
  }
}
