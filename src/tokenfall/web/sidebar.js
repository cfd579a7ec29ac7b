/**
 * The list of conversations: beside the page where there is room, over it where there is not.
 *
 * It must never load anything itself, or keep the keyboard from the page while it is closed.
 */

import { element } from './message.js';

const NARROW = matchMedia('(width < 60rem)');
const TIMES_MS = 30_000; // between two looks at what time has passed

/** "just now", "5 minutes ago", "3 days ago", in the reader's language. */
export function ago(thenS, nowS = Date.now() / 1000, language = undefined) {
  const words = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  const passedS = Math.max(0, nowS - thenS);
  for (const [unit, lengthS] of [['day', 86_400], ['hour', 3_600], ['minute', 60]]) {
    if (passedS >= lengthS) return words.format(-Math.floor(passedS / lengthS), unit);
  }
  return words.format(0, 'minute');
}

export class Sidebar {
  #box = document.querySelector('#sidebar');
  #page = document.querySelector('#page');
  #list = document.querySelector('#conversations');
  #none = document.querySelector('#no-conversations');
  #opener = document.querySelector('#sidebar-open');
  #isOpen = false;

  /** @param on { open(id), begin() }: the reader chose a conversation, or wants a new one */
  constructor(on) {
    document.querySelector('#new').addEventListener('click', () => this.#leaveFor(() => on.begin()));
    document.querySelector('#sidebar-close').addEventListener('click', () => this.#set(false));
    this.#opener.addEventListener('click', () => this.#set(true));
    this.#list.addEventListener('click', (event) => {
      const link = event.target.closest('a');
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // the browser's own: a new tab
      event.preventDefault();
      this.#leaveFor(() => on.open(link.dataset.id));
    });
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#isOpen) return;
      event.stopPropagation(); // it would stop an answer
      this.#set(false);
    }, { capture: true });
    document.addEventListener('click', (event) => {
      if (this.#isOpen && !this.#box.contains(event.target) && !this.#opener.contains(event.target)) this.#set(false);
    });
    NARROW.addEventListener('change', () => this.#set(false));
    setInterval(() => this.refresh(), TIMES_MS);
    this.#set(false);
  }

  /** Shows `conversations`; the one with the id `current` is on the page. `isWhole`: the server has listed all. */
  show(conversations, current, { isWhole }) {
    const focused = document.activeElement?.closest?.('#conversations a')?.dataset.id;
    this.#list.replaceChildren(...conversations.map((conversation) => entry(conversation, current)));
    this.#none.hidden = conversations.length > 0 || !isWhole;
    if (focused) [...this.#list.querySelectorAll('a')].find((link) => link.dataset.id === focused)?.focus();
  }

  /** Says anew how long ago each was. */
  refresh() {
    for (const when of this.#list.querySelectorAll('.when')) when.textContent = ago(Number(when.dataset.at));
  }

  #leaveFor(go) {
    this.#set(false);
    go();
  }

  #set(open) {
    const was = this.#isOpen;
    this.#isOpen = open && NARROW.matches;
    this.#box.classList.toggle('open', this.#isOpen);
    this.#box.inert = NARROW.matches && !this.#isOpen;
    this.#page.inert = this.#isOpen;
    this.#opener.setAttribute('aria-expanded', String(this.#isOpen));
    if (this.#isOpen) document.querySelector('#new').focus();
    else if (was) this.#opener.focus();
  }
}

function entry({ id, title, last_activity: lastActivity }, current) {
  const link = element('a', 'conversation');
  link.href = `?conversation=${encodeURIComponent(id)}`;
  link.dataset.id = id;
  const name = element('span', 'name', title || id);
  name.dir = 'auto';
  const when = element('span', 'when', ago(lastActivity));
  when.dataset.at = lastActivity;
  link.append(name, when);
  if (id === current) link.setAttribute('aria-current', 'page');
  return element('li', '', link);
}
