/**
 * The list of conversations: a drawer on a narrow screen, else a column. Whether the column is hidden is stored on this
 * device and restored by theme.js. It must never load anything itself.
 */

import { groupByDay } from './date_groups.js';
import { writeDevice } from './device_storage.js';
import { button, create, element, find } from './elements.js';
import { EntryMenu } from './entry_menu.js';
import { SearchField } from './search_field.js';

const NARROW = matchMedia('(width < 60rem)');
const REFRESH_MS = 30_000;

/** "now", "5 minutes ago" or "3 days ago", in the user's language. */
export function ago(thenS, nowS = Date.now() / 1000, language = undefined) {
  const words = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  const passedS = Math.max(0, nowS - thenS);
  for (const [unit, lengthS] of [['day', 86_400], ['hour', 3_600], ['minute', 60]]) {
    if (passedS >= lengthS) return words.format(-Math.floor(passedS / lengthS), unit);
  }
  return words.format(0, 'second');
}

/** The URL of a conversation, relative to the page. */
export function addressOf(id) {
  return `?conversation=${encodeURIComponent(id)}`;
}

export class Sidebar {
  #box = find('#sidebar');
  #page = find('#page');
  #list = find('#conversations');
  #none = find('#no-conversations');
  #opener = find('#sidebar-open');
  #isOpen = false;
  #shown = { conversations: [], current: '', isWhole: false };
  #search;

  /**
   * @param on open(id), begin(): the user chose a conversation or a new one; rename(id), pin(id, pinned), remove(id):
   *   from an entry's menu; search(words) resolves to the conversations found
   */
  constructor(on) {
    const isPinned = (id) => this.#shown.conversations.find((each) => each.id === id)?.pinned === true;
    new EntryMenu(this.#list, { ...on, isPinned, pin: (id) => on.pin(id, !isPinned(id)) });
    this.#search = new SearchField({ search: on.search, change: () => this.#draw() });
    find('#new').addEventListener('click', () => on.begin());
    find('#sidebar-close').addEventListener('click', () => this.#setShown(false));
    this.#opener.addEventListener('click', () => this.#setShown(true));
    this.#list.addEventListener('click', (event) => {
      const link = event.target.closest('a');
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // the browser opens a new tab
      event.preventDefault();
      on.open(link.dataset.id);
    });
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#isOpen) return;
      event.stopPropagation(); // Escape would also stop a response
      this.close();
    }, { capture: true });
    document.addEventListener('click', (event) => {
      if (this.#isOpen && !this.#box.contains(event.target) && !this.#opener.contains(event.target)) this.close();
    });
    NARROW.addEventListener('change', () => this.close());
    setInterval(() => this.refresh(), REFRESH_MS);
    this.close();
  }

  /** Shows `conversations`; `current` is the id of the open one. `isWhole`: the server's list has been loaded. */
  show(conversations, current, { isWhole }) {
    this.#shown = { conversations, current, isWhole };
    this.#draw();
  }

  #draw() {
    const { conversations, current, isWhole } = this.#shown;
    const { found } = this.#search;
    const groups = found ? [{ name: '', conversations: conversations.filter(({ id }) => found.has(id)) }] : groupByDay(conversations);
    const restoreFocus = keepFocus(this.#list);
    this.#list.replaceChildren(...groups.flatMap((group) => elementsOf(group, current)));
    this.#none.hidden = found !== null || conversations.length > 0 || !isWhole;
    restoreFocus();
  }

  /** Updates the relative times. */
  refresh() {
    for (const when of this.#list.querySelectorAll('.when')) when.textContent = ago(Number(when.dataset.at));
  }

  /** Shows the list, or hides it if it is shown. */
  toggle() {
    this.#setShown(NARROW.matches ? !this.#isOpen : document.documentElement.classList.contains('list-hidden'));
  }

  #setShown(shown) {
    if (NARROW.matches) {
      this.#setOpen(shown);
      return;
    }
    document.documentElement.classList.toggle('list-hidden', !shown);
    writeDevice('list', shown ? '' : 'hidden');
    this.#opener.setAttribute('aria-expanded', String(shown));
    find(shown ? '#new' : '#draft').focus();
  }

  /** Closes the drawer. */
  close() {
    this.#setOpen(false);
  }

  #setOpen(open) {
    const was = this.#isOpen;
    this.#isOpen = open && NARROW.matches;
    this.#box.classList.toggle('open', this.#isOpen);
    this.#box.inert = NARROW.matches && !this.#isOpen;
    this.#page.inert = this.#isOpen;
    this.#opener.setAttribute('aria-expanded', String(this.#isOpen));
    if (this.#isOpen) find('#new').focus();
    else if (was) this.#opener.focus();
  }
}

/** Returns a function that restores the focus after the list was redrawn: on the same control, or the one in its place. */
function keepFocus(list) {
  const focused = document.activeElement;
  if (!list.contains(focused) || !focused.closest('li')) return () => {};
  const all = () => [...list.querySelectorAll(focused.localName)];
  const idOf = (each) => each.closest('li').querySelector('a').dataset.id;
  const [id, place] = [idOf(focused), all().indexOf(focused)];
  return () => (all().find((each) => idOf(each) === id) ?? all()[place] ?? all().at(-1) ?? find('#new')).focus();
}

/** The elements of a group: its name, if it has one, and its list. */
function elementsOf({ name, conversations }, current) {
  const id = `group-${name.toLowerCase().replaceAll(' ', '-')}`;
  const entries = conversations.map((conversation) => entry(conversation, current));
  const list = create('ul', { class: 'group', ...(name && { 'aria-labelledby': id }) }, ...entries);
  return name ? [create('p', { class: 'group-name', id }, name), list] : [list];
}

/** A list entry, without a menu if the server does not list the conversation yet. */
function entry({ id, title, last_activity: lastActivity, messages }, current) {
  const name = create('span', { class: 'name', dir: 'auto' }, title || id);
  const when = create('span', { class: 'when', 'data-at': lastActivity }, ago(lastActivity));
  const attributes = { class: 'conversation', href: addressOf(id), 'data-id': id, ...(id === current && { 'aria-current': 'page' }) };
  const link = create('a', attributes, name, when);
  return element('li', 'entry', link, ...(messages === undefined ? [] : [menuButton(title || id)]));
}

function menuButton(title) {
  return button('more', { 'aria-label': `Actions for ${title}`, popovertarget: 'entry-menu' }, '⋯');
}
