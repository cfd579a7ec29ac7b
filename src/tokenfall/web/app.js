/**
 * The chat page: joins its parts, and knows which conversation is shown.
 *
 * The address says which: `?conversation=ID`, the default one without. It must never hold a message itself.
 */

import { Api } from './api.js';
import { Composer } from './composer.js';
import { Conversation } from './conversation.js';
import { askForName, confirmDelete, Keys } from './dialogs.js';
import { asJSON, asMarkdown, download, fileName } from './exporting.js';
import { asFailure } from './failures.js';
import { Menu } from './menu.js';
import { Notice, showStatus } from './notice.js';
import { randomHex } from './random.js';
import { Sidebar } from './sidebar.js';
import { ConversationView } from './view.js';

const DEFAULT = 'default';
const UNTITLED = 'New conversation';

const api = new Api(new Keys());
const notice = new Notice();
const composer = new Composer({ send: (text) => conversation.ask({ text }), stop: () => conversation.stop() });
const view = new ConversationView({
  ask: (asked) => conversation.ask(asked),
  dropEdit: (turn) => conversation.dropEdit(turn),
  keep: (text) => composer.giveBack(text),
});
const conversation = new Conversation({ api, view, composer, notice, onBegin: noteBegin, onTurn: list });
const sidebar = new Sidebar({ open: go, begin });
const menu = new Menu({ rename, remove, exportMarkdown: () => exportAs('md'), exportJSON: () => exportAs('json') });
const begun = new Map(); // those that it does not list yet
let listed = []; // the conversations, as the server lists them

function shownInAddress() {
  return new URLSearchParams(location.search).get('conversation') || DEFAULT;
}

function newId() {
  return `chat-${randomHex(8)}`;
}

/** Shows another conversation, and says so in the address. */
function go(id, { isNew = false } = {}) {
  if (id !== conversation.id) {
    history.pushState(null, '', id === DEFAULT ? location.pathname : `?conversation=${encodeURIComponent(id)}`);
    open(id, { isNew });
  }
  composer.focus();
}

function begin() {
  go(newId(), { isNew: true });
}

function open(id, { isNew = false } = {}) {
  conversation.open(id, { isNew });
  showTitle();
}

function titleNow() {
  return listed.find(({ id }) => id === conversation.id)?.title;
}

/** The server lists a conversation once it has an answer; until then it is known here. */
function noteBegin() {
  const { id, question } = conversation;
  if (titleNow() === undefined) begun.set(id, { id, title: question.slice(0, 60), last_activity: Date.now() / 1000 });
  showTitle();
}

function showTitle() {
  const { id } = conversation;
  const title = titleNow();
  document.querySelector('#title').textContent = title ?? begun.get(id)?.title ?? UNTITLED;
  document.title = title ? `${title} · Tokenfall` : 'Tokenfall';
  sidebar.show([...begun.values(), ...listed], id);
  menu.setUsable(title !== undefined);
}

/** The list is a help: without it the conversation goes on, so its failure says nothing that the page does not. */
async function list() {
  try {
    listed = await api.conversations();
    for (const { id } of listed) begun.delete(id);
    if (!conversation.isBusy) begun.delete(conversation.id); // nothing came of it
  } catch (error) {
    asFailure(error);
  }
  showTitle();
}

async function rename() {
  const { id } = conversation;
  const title = await askForName(titleNow());
  if (title) await told('Renamed', () => api.rename(id, title));
}

async function remove() {
  const { id } = conversation;
  if (!(await confirmDelete())) return;
  await told('Deleted', async () => {
    if (conversation.id === id) await conversation.rest(); // what is kept after the deletion would be a conversation again
    await api.delete(id);
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

addEventListener('popstate', () => open(shownInAddress()));
open(shownInAddress());
