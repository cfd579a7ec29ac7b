/**
 * The chat page: joins its parts and plays one turn at a time.
 *
 * A turn has exactly one end: complete (`[DONE]` was read), stopped (by the reader), or failed (all else).
 * It must never show a failed answer as complete, lose a message that failed, or run two turns at once.
 */

import { Api } from './api.js';
import { Composer } from './composer.js';
import { confirmClear, Keys } from './dialogs.js';
import { Failure } from './failures.js';
import { Notice, showStatus } from './notice.js';
import { Pace } from './pace.js';
import { ConversationView } from './view.js';

const api = new Api(new Keys());
const view = new ConversationView();
const notice = new Notice();
const clearButton = document.querySelector('#clear');
let stopper = null; // the AbortController of what is under way: a turn, or a clearing
let loading = null; // the load of the history, under way or done; null before the first and after a failed one
const composer = new Composer({ send: takeTurn, stop: () => stopper?.abort() });

async function takeTurn(question) {
  const { signal } = begin('Generating…');
  const turn = view.beginTurn(question);
  const pace = new Pace();
  try {
    await unlessAborted(catchUp(), signal);
    for await (const token of api.answer(question, { signal, onSend: () => pace.start() })) {
      pace.countToken();
      turn.answer.append(token);
    }
    turn.answer.end('complete', pace.summary);
    showStatus('Complete');
  } catch (error) {
    if (signal.aborted) stopTurn(turn, pace);
    else failTurn(turn, pace, { question, failure: asFailure(error) });
  } finally {
    finish();
  }
}

function stopTurn(turn, pace) {
  turn.answer.end('stopped', pace.summary);
  showStatus('Stopped');
}

/** What was read of the answer stays, marked; a turn of which nothing was read leaves no trace but the draft. */
function failTurn(turn, pace, { question, failure }) {
  if (pace.tokens > 0) turn.answer.end('failed', pace.summary);
  else turn.withdraw();
  composer.giveBack(question);
  showStatus('');
  notice.showFailure(failure);
}

async function clearConversation() {
  if (!(await confirmClear())) return;
  const { signal } = begin('Clearing…');
  try {
    await unlessAborted(catchUp(), signal);
    await api.clearHistory(signal);
    view.clear();
    showStatus('Conversation cleared');
    composer.focus();
  } catch (error) {
    showStatus(signal.aborted ? 'Stopped' : '');
    if (!signal.aborted) notice.showFailure(asFailure(error));
  } finally {
    finish();
  }
}

async function showConversation() {
  notice.clear();
  try {
    await loadHistory();
  } catch (error) {
    const failure = asFailure(error);
    const label = failure.status === 401 ? 'Enter a key' : 'Load again';
    notice.showFailure(failure, { label, run: showConversation });
  }
}

function loadHistory() {
  loading ??= api
    .history()
    .then((messages) => view.showHistory(messages))
    .catch((error) => {
      loading = null;
      throw error;
    });
  return loading;
}

/**
 * Before anything changes the conversation its history is read, so that no turn shows twice or not at all.
 * A load that failed does not hold up the turn, whose own request tells; only a refused key does.
 */
async function catchUp() {
  try {
    await loadHistory();
  } catch (error) {
    if (error.status === 401) throw error;
  }
}

function begin(status) {
  stopper = new AbortController();
  composer.setBusy(true);
  clearButton.disabled = true;
  notice.clear();
  showStatus(status);
  return stopper;
}

function finish() {
  stopper = null;
  composer.setBusy(false);
  clearButton.disabled = false;
}

function unlessAborted(promise, signal) {
  const aborted = new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  return Promise.race([promise, aborted]);
}

/** A defect of the page itself goes on to the console; the reader still gets a sentence. */
function asFailure(error) {
  if (error instanceof Failure) return error;
  console.error(error);
  return new Failure('page');
}

clearButton.addEventListener('click', clearConversation);
showConversation();
