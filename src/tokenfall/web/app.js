/**
 * The chat page: joins its parts, and knows which conversation is shown.
 *
 * The address says which: `?conversation=ID`; without it the page begins a new one, with an address of its own. The
 * history entry's state says that a conversation is new. It must never hold a message itself.
 */

import { Api } from './api.js';
import { Attention } from './attention.js';
import { Composer } from './composer.js';
import { Conversation } from './conversation.js';
import { askForName, confirmDelete, Keys } from './dialogs.js';
import { asJSON, asMarkdown, download, fileName } from './exporting.js';
import { asFailure } from './failures.js';
import { Importing, importedBody } from './importing.js';
import { ListSwitch } from './list_switch.js';
import { Menu } from './menu.js';
import { Notice, showStatus } from './notice.js';
import { randomHex } from './random.js';
import { Setup } from './setup.js';
import { Shortcuts } from './shortcuts.js';
import { Sidebar } from './sidebar.js';
import { Tabs } from './tabs.js';
import { ThemeSwitch } from './theme_switch.js';
import { turnUnderWay } from './underway.js';
import { ConversationView } from './view.js';

const UNTITLED = 'New conversation';

const keys = new Keys();
const api = new Api(keys);
const notice = new Notice();
const composer = new Composer({ send: (text) => conversation.ask({ text }), stop: () => conversation.stop() });
const view = new ConversationView({
  ask: (asked) => conversation.ask(asked),
  dropEdit: (turn) => conversation.dropEdit(turn),
  keep: (text) => composer.giveBack(text),
});
const tabs = new Tabs({ shows: underWayIn, underWay: (asked) => conversation.follow(asked) });
const conversation = new Conversation({ api, view, composer, notice, onBegin: noteBegin, onNamed: tellTabs, onTurn: noteTurn });
const attention = new Attention();
const listSwitch = new ListSwitch();
const setup = new Setup({ api, ask: (question) => conversation.ask(question) });
const sidebar = new Sidebar({ open: go, begin, rename, pin, remove, search: (words) => api.search(words) });
const menu = new Menu({
  rename,
  remove,
  exportMarkdown: () => exportAs('md'),
  exportJSON: () => exportAs('json'),
  print: () => window.print(),
  changeKey,
});
new Importing((read) => told('Imported', async () => go(await api.import(importedBody(await read())))));
const begun = new Map(); // those that it does not list yet
let asksForKey = false; // with the next list: nothing else is asked of the server for a conversation that is new
let listed = []; // the conversations, as the server lists them
let isListed = false; // it has told them

function addressOf(id) {
  return `?conversation=${encodeURIComponent(id)}`;
}

/** Opens what the address names; a new conversation where it names none. */
function openAddress() {
  const named = new URLSearchParams(location.search).get('conversation');
  const id = named || newId();
  if (!named) history.replaceState({ isNew: true }, '', addressOf(id));
  asksForKey = history.state?.isNew === true;
  open(id, { isNew: history.state?.isNew === true });
}

function newId() {
  return `chat-${randomHex(8)}`;
}

/** Shows another conversation, and says so in the address. */
function go(id, { isNew = false } = {}) {
  sidebar.close();
  if (id !== conversation.id) {
    history.pushState({ isNew }, '', addressOf(id));
    open(id, { isNew });
  }
  composer.focus();
}

function begin() {
  go(newId(), { isNew: true });
}

function open(id, { isNew = false } = {}) {
  conversation.open(id, { isNew });
  setup.open(id);
  tabs.ask(id);
  showTitle();
}

/** What this tab shows as it comes, for the others. */
function underWayIn(id) {
  return conversation.id === id && conversation.isBusy ? turnUnderWay(id) : null;
}

function tellTabs() {
  tabs.tell(conversation.id, underWayIn(conversation.id));
}

function titleNow(of = conversation.id) {
  return listed.find(({ id }) => id === of)?.title;
}

/** The server lists a conversation once it has an answer; until then it is known here. */
function noteBegin() {
  const { id, question } = conversation;
  if (history.state?.isNew) history.replaceState(null, ''); // after a reload the server knows it
  if (titleNow() === undefined) begun.set(id, { id, title: question.slice(0, 60), last_activity: Date.now() / 1000 });
  attention.begin(id);
  showTitle();
}

/** The server may list what it did not; a turn may have ended. */
function noteTurn() {
  if (!conversation.isBusy) attention.end(conversation.id, document.querySelector('#status').textContent);
  list();
}

function showTitle() {
  const { id } = conversation;
  const title = titleNow();
  document.querySelector('#title').textContent = title ?? begun.get(id)?.title ?? UNTITLED;
  attention.setTitle(title ? `${title} · Tokenfall` : 'Tokenfall');
  sidebar.show([...begun.values(), ...listed], id, { isWhole: isListed });
  menu.setUsable(title !== undefined);
}

/** The list is a help: without it the conversation goes on, so its failure says nothing that the page does not. */
async function list() {
  const asks = { asksForKey };
  asksForKey = false;
  try {
    listed = await api.conversations(asks);
    isListed = true;
    setup.load();
    for (const { id } of listed) begun.delete(id);
    if (!conversation.isBusy) begun.delete(conversation.id); // nothing came of it
  } catch (error) {
    asFailure(error);
  }
  showTitle();
}

async function rename(id = conversation.id) {
  const title = await askForName(titleNow(id));
  if (title) await told('Renamed', () => api.rename(id, title));
}

async function pin(id, pinned) {
  await told(pinned ? 'Pinned' : 'Unpinned', () => api.pin(id, pinned));
}

async function remove(id = conversation.id) {
  if (!(await confirmDelete())) return;
  await told('Deleted', async () => {
    if (conversation.id === id) await conversation.rest(); // what is kept after the deletion would be a conversation again
    await api.delete(id);
    setup.drop(id);
    if (conversation.id !== id) return;
    const next = listed.find((other) => other.id !== id);
    if (next) go(next.id);
    else begin();
  });
}

async function exportAs(extension) {
  const { id } = conversation;
  await told('', async () => {
    const title = titleNow() ?? UNTITLED;
    const messages = await conversation.messages();
    const isMarkdown = extension === 'md';
    const text = isMarkdown ? asMarkdown(title, messages) : asJSON(id, title, messages);
    download(text, fileName(title, extension), isMarkdown ? 'text/markdown' : 'application/json');
  });
}

/** With another key the server may have another conversation under this name. */
async function changeKey() {
  const before = keys.current;
  if (await keys.change()) openAddress();
  else if (before && !keys.current) showStatus('The key is forgotten.');
}

/** Does something with the conversation, and tells how it went. */
async function told(status, act) {
  notice.clear();
  try {
    await act();
    await list();
    if (status) showStatus(status);
  } catch (error) {
    notice.showFailure(asFailure(error));
  }
}

function look() {
  if (document.visibilityState !== 'visible') return;
  sidebar.refresh();
  conversation.look();
  tabs.ask(conversation.id);
}

new ThemeSwitch();
new Shortcuts({ begin, list: () => listSwitch.act(), write: () => composer.focus() });
for (const event of ['focus', 'online']) addEventListener(event, look);
addEventListener('pageshow', ({ persisted }) => persisted && look()); // out of the back-forward cache
document.addEventListener('visibilitychange', look);
addEventListener('online', () => notice.clearOffline());
addEventListener('popstate', openAddress);
openAddress();
