/**
 * Entry point of the chat page: connects the modules, and selects the conversation to show.
 *
 * The URL has its id: `?conversation=ID`; without an id the page starts a new conversation and adds one. `history.state`
 * marks a conversation as new.
 */

import { Api } from './api.js';
import { Composer } from './composer.js';
import { Conversation } from './conversation.js';
import { ConversationMenu } from './conversation_menu.js';
import { ConversationView } from './conversation_view.js';
import { askForName, confirmDelete, Keys } from './dialogs.js';
import { find } from './elements.js';
import { asFailure, Failure } from './failures.js';
import { asJSON, asMarkdown, download, fileName } from './file_export.js';
import { FileImport, exportedConversation } from './file_import.js';
import { Notice, showBriefly, showStatus } from './notice.js';
import { dropOptions } from './options.js';
import { pendingTurn } from './pending_turns.js';
import { randomHex } from './random.js';
import { Settings } from './settings.js';
import { Shortcuts } from './shortcuts.js';
import { addressOf, Sidebar } from './sidebar.js';
import { TabChannel } from './tab_channel.js';
import { TabIndicator } from './tab_indicator.js';
import { ThemeSwitch } from './theme_switch.js';

const UNTITLED = 'New conversation';
const VALID = /^[\w.:@-]{1,64}$/; // an id of a conversation

const keys = new Keys();
const api = new Api(keys);
const notice = new Notice();
const composer = new Composer({ send: (text) => conversation.ask({ text }), stop: () => conversation.stop() });
const view = new ConversationView({
  ask: (turn) => conversation.ask(turn),
  cancelEdit: (turn) => conversation.cancelEdit(turn),
  restoreDraft: (text) => composer.restoreText(text),
});
const tabs = new TabChannel({ pendingIn, onTurn: (turn) => conversation.follow(turn) });
const conversation = new Conversation({ api, view, composer, notice, onBegin: onTurnStart, onTurnId: announceTurn, onTurn: onTurnChange });
const indicator = new TabIndicator();
const settings = new Settings({ api, ask: (question) => conversation.ask(question), onChange: markContext });
const sidebar = new Sidebar({ open: go, begin, rename, pin, remove, search: (words) => api.search(words) });
const menu = new ConversationMenu({
  rename,
  remove,
  exportMarkdown: () => exportAs('md'),
  exportJSON: () => exportAs('json'),
  print: () => window.print(),
  changeKey,
});
new FileImport((read) => attempt('Imported', async () => go(await api.import(exportedConversation(await read())))));
const unlisted = new Map(); // conversations that the server does not list yet
let asksForKey = false; // prompt for a key if the next list gets a 401: a new conversation sends no other request
let listed = []; // as the server lists them
let isListed = false; // the list has been loaded

/** Opens the conversation in the URL, or a new one. */
function openAddress() {
  const named = new URLSearchParams(location.search).get('conversation') ?? '';
  const isValid = VALID.test(named);
  const id = isValid ? named : newId();
  if (!isValid) history.replaceState({ isNew: true }, '', addressOf(id));
  asksForKey = history.state?.isNew === true;
  open(id, { isNew: history.state?.isNew === true });
  if (named && !isValid) notice.showFailure(new Failure('invalid_address'));
}

function newId() {
  return `chat-${randomHex(8)}`;
}

/** Shows another conversation and changes the URL. */
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
  settings.open(id);
  tabs.query(id);
  showTitle();
}

/** The pending turn of `id`, for other tabs. */
function pendingIn(id) {
  return conversation.id === id && conversation.isBusy ? pendingTurn(id) : null;
}

function announceTurn() {
  tabs.announce(conversation.id, pendingIn(conversation.id));
}

function titleNow(of = conversation.id) {
  return listed.find(({ id }) => id === of)?.title;
}

/** The server lists a conversation once it has a response; until then the page lists it. */
function onTurnStart() {
  const { id, question } = conversation;
  if (history.state?.isNew) history.replaceState(null, ''); // a reload must load it from the server
  if (titleNow() === undefined) unlisted.set(id, { id, title: question.slice(0, 60), last_activity: Date.now() / 1000 });
  indicator.begin(id);
  showTitle();
}

/** Called when a turn may have ended and the server's list may have changed. */
function onTurnChange(end) {
  if (!conversation.isBusy) indicator.end(conversation.id, end);
  list();
  markContext();
}

/** Marks the messages that the model will not get. Without a response of the server, nothing changes. */
async function markContext() {
  const { id } = conversation;
  await conversation.isStored;
  if (id !== conversation.id || conversation.isBusy || view.isEmpty) return;
  const context = await api.context(id).catch(asFailure);
  if (id === conversation.id && !(context instanceof Error)) view.markContext(context);
}

function showTitle() {
  const { id } = conversation;
  const title = titleNow();
  find('#title').textContent = title ?? unlisted.get(id)?.title ?? UNTITLED;
  indicator.setTitle(title ? `${title} · Tokenfall` : 'Tokenfall');
  sidebar.show([...unlisted.values(), ...listed], id, { isWhole: isListed });
  menu.setUsable(title !== undefined);
}

/** Loads the list. A failure is not shown: the conversation works without the list. */
async function list() {
  const options = { asksForKey };
  asksForKey = false;
  try {
    listed = await api.conversations(options);
    isListed = true;
    settings.load();
    for (const { id } of listed) unlisted.delete(id);
    if (!conversation.isBusy) unlisted.delete(conversation.id); // it has no response
  } catch (error) {
    asFailure(error);
  }
  showTitle();
}

async function rename(id = conversation.id) {
  const title = await askForName(titleNow(id));
  if (title) await attempt('Renamed', () => api.rename(id, title));
}

async function pin(id, pinned) {
  await attempt(pinned ? 'Pinned' : 'Unpinned', () => api.pin(id, pinned));
}

async function remove(id = conversation.id) {
  if (!(await confirmDelete(titleNow(id)))) return;
  await attempt('Deleted', async () => {
    const drop = () => api.delete(id);
    await (conversation.id === id ? conversation.runStopped(drop) : drop()); // a turn stored later would recreate it
    dropOptions(id);
    if (conversation.id !== id) return;
    const next = listed.find((other) => other.id !== id);
    if (next) go(next.id);
    else begin();
  });
}

async function exportAs(extension) {
  const { id } = conversation;
  await attempt('', async () => {
    const title = titleNow() ?? UNTITLED;
    const messages = await conversation.messages();
    const isMarkdown = extension === 'md';
    const text = isMarkdown ? asMarkdown(title, messages) : asJSON(id, title, messages);
    download(text, fileName(title, extension), isMarkdown ? 'text/markdown' : 'application/json');
  });
}

/** With another key the server may have another conversation with this id. */
async function changeKey() {
  const before = keys.current;
  if (await keys.change()) openAddress();
  else if (before && !keys.current) showStatus('The key is forgotten.');
}

/** Runs `act`, then shows `status` or the error. During a response the status is shown only briefly. */
async function attempt(status, act) {
  notice.clear();
  if (!conversation.isBusy) showStatus('');
  try {
    await act();
    await list();
    if (status && conversation.isBusy) showBriefly(status);
    else if (status) showStatus(status);
  } catch (error) {
    notice.showFailure(asFailure(error));
  }
}

function refresh() {
  if (document.visibilityState !== 'visible') return;
  sidebar.refresh();
  conversation.refresh();
  tabs.query(conversation.id);
}

new ThemeSwitch();
new Shortcuts({ begin, list: () => sidebar.toggle(), write: () => composer.focus() });
for (const event of ['focus', 'online']) addEventListener(event, refresh);
addEventListener('pageshow', ({ persisted }) => persisted && refresh()); // from the back/forward cache
document.addEventListener('visibilitychange', refresh);
addEventListener('online', () => notice.clearOffline());
addEventListener('popstate', openAddress);
openAddress();
