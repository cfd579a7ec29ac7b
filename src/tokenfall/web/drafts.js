/**
 * The draft of each conversation, stored for this tab.
 *
 * While the user types, it is written at most every WRITE_MS, and when the page is hidden or left.
 */

import { readTab, writeTab } from './tab_storage.js';

const WRITE_MS = 300;

const nameOf = (conversation) => `draft:${conversation}`;

export class Drafts {
  #unwritten = null; // { conversation, read }
  #timer = 0;

  constructor() {
    addEventListener('pagehide', () => this.#write());
    document.addEventListener('visibilitychange', () => document.hidden && this.#write());
  }

  of(conversation) {
    this.#write();
    return readTab(nameOf(conversation));
  }

  set(conversation, text) {
    this.#write();
    writeTab(nameOf(conversation), text);
  }

  /** Stores what `read()` returns at the next write. */
  changed(conversation, read) {
    this.#unwritten = { conversation, read };
    this.#timer ||= setTimeout(() => this.#write(), WRITE_MS);
  }

  #write() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#unwritten === null) return;
    const { conversation, read } = this.#unwritten;
    this.#unwritten = null;
    writeTab(nameOf(conversation), read());
  }
}
