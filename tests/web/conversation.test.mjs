/** The conversation controller, with fakes of the page's components and of the server. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';

import { Conversation } from '../../src/tokenfall/web/conversation.js';
import { asFailure, Failure } from '../../src/tokenfall/web/failures.js';
import { pendingTurn, removePendingTurn, storePendingTurn } from '../../src/tokenfall/web/pending_turns.js';
import { singleTab } from './single_tab.mjs';

const DONE = 'data: [DONE]\n\n';
const HEAD = { 'Content-Type': 'text/event-stream', 'X-Turn-Id': 'turn_1', 'X-Model': 'sim' };
const KEPT = [
  { role: 'user', content: 'Hello?', turn: 'turn_0' },
  { role: 'assistant', content: 'Hi.', turn: 'turn_0', model: 'sim', ttft_s: 0.25, tokens_per_s: 40 },
];
const TRIES = 11; // the first attempt and ten retries
const LOOK_MS = 15_000; // the delay before a lost turn is searched for
const GONE = new Failure('not_found', { status: 404 });

const frame = (content, id) => `id: ${id}\ndata: ${JSON.stringify({ content })}\n\n`;
const broke = (code, more = {}) => `event: error\ndata: ${JSON.stringify({ error: { code, ...more } })}\n\n`;
const cut = 'event: end\ndata: {"finish_reason":"length","usage":{"completion_tokens":2}}\n\n';
const whole = (text) => () => new Response(text, { headers: HEAD });

/** A response that stays open after `text` until its request is aborted or the test calls `end(text)`. */
function endless(text) {
  let controller;
  const bytesOf = (more) => new TextEncoder().encode(more);
  const answer = ({ signal }) => {
    const body = new ReadableStream({
      start(given) {
        controller = given;
        if (text) controller.enqueue(bytesOf(text));
        signal.addEventListener('abort', () => controller.error(signal.reason));
      },
    });
    return new Response(body, { headers: HEAD });
  };
  answer.end = (more) => {
    controller.enqueue(bytesOf(more));
    controller.close();
  };
  return answer;
}

function later() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/** A fake server: `answers` are the queued responses to questions, `rest` those to follow requests; the last one is reused. */
class Server {
  questions = [];
  keys = []; // idempotency keys of the questions
  follows = []; // the previous turn that each question named, or undefined
  followed = [];
  stopped = [];
  loaded = [];
  answers = [];
  rest = [new Failure('unreachable')];
  stored = {}; // by conversation: messages, a promise of them, or an error
  ending = Promise.resolve(); // resolved when a stopped turn has ended

  ask({ onSend, signal, key, follows, ...question }) {
    this.follows.push(follows);
    this.questions.push(question);
    this.keys.push(key);
    onSend();
    return this.#next(this.answers, { signal });
  }

  follow({ signal, ...followed }) {
    this.followed.push(followed);
    return this.#next(this.rest, { signal });
  }

  async stop(turn) {
    this.stopped.push(turn);
    await this.ending;
  }

  async history(conversation) {
    this.loaded.push(conversation);
    const found = await (conversation in this.stored ? this.stored[conversation] : []);
    if (found instanceof Error) throw found;
    return found;
  }

  async #next(answers, request) {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    return typeof answer === 'function' ? answer(request) : answer;
  }
}

class ShownResponse {
  text = '';
  state = 'open';
  ends = 0;

  setModel(model) {
    this.named = model;
  }

  append(text) {
    assert.equal(this.state, 'open', 'a token after the end');
    this.text += text;
  }

  replace(text) {
    this.text = text;
  }

  end(state, { model, pace, reason, tokens }) {
    this.ends += 1;
    Object.assign(this, { state, model, pace, reason, tokens });
  }
}

class View {
  history = null;
  turns = [];
  busy = false;

  lastTurn = '';
  edited = []; // [turn, text] of reopened edits
  isThere = true; // whether the message to edit exists
  isEditing = false;
  isUnknown = false;
  isForgotten = false;

  get isEmpty() {
    return !this.history?.length && this.turns.length === 0;
  }

  markLost() {
    this.isForgotten = true;
  }

  showHistory(messages, { isUnknown = false } = {}) {
    this.isUnknown = isUnknown;
    this.history = messages;
    this.lastTurn = messages.at(-1)?.turn ?? '';
  }

  clear() {
    this.history = null;
  }

  has(turn) {
    const isShown = this.turns.some((shown) => shown.turn === turn && !shown.withdrawn);
    return isShown || (turn === 'turn_0' && this.isThere);
  }

  edit(turn, text) {
    if (!this.has(turn)) return false;
    this.edited.push([turn, text]);
    return true;
  }

  setBusy(busy) {
    this.busy = busy;
  }

  beginTurn(question, { turn, replaces, isContinued = false }) {
    const shown = { question, turn, replaces, before: '', response: new ShownResponse(), settled: false, withdrawn: false };
    if (isContinued) shown.response.text = shown.before = 'Rome';
    shown.name = (id) => (shown.turn = id);
    shown.settle = () => (shown.settled = true);
    shown.withdraw = () => (shown.withdrawn = true);
    this.turns.push(shown);
    return shown;
  }
}

class Composer {
  busy = false;
  name = '';
  given = []; // [text, conversation] of restored drafts
  taken = [];

  setBusy(busy) {
    this.busy = busy;
  }

  setConversation(id) {
    this.name = id;
  }

  restoreText(text, conversation = this.name) {
    this.given.push([text, conversation]);
  }

  removeRestored(text) {
    this.taken.push(text);
  }
}

class Notice {
  code = '';
  again = null;

  showFailure(failure, again = null) {
    Object.assign(this, { code: failure.code, again });
  }

  clear() {
    Object.assign(this, { code: '', again: null });
  }
}

/** A page that shows the conversation `holidays`; `lists` counts the requests to reload the list, `ends` has the ends. */
async function page(api = new Server(), options = {}) {
  const made = { api, view: new View(), composer: new Composer(), notice: new Notice(), lists: 0, ends: [] };
  const { view, composer, notice } = made;
  const onTurn = (end) => {
    made.lists += 1;
    if (end) made.ends.push(end);
  };
  const conversation = new Conversation({ api, view, composer, notice, onTurn });
  made.conversation = conversation;
  made.opened = conversation.open('holidays', options);
  await settle();
  return made;
}

/** The stored state of a failed question that replaces another. */
function placed(conversation = 'holidays') {
  const { key, ...pending } = pendingTurn(conversation);
  assert.match(key, /^[0-9a-f]{32}$/);
  return pending;
}

const PLACED = { question: 'Where to?', replaces: 'turn_0', isShown: false, after: null, id: '', isGivenUp: true };

/** Waits until all pending callbacks have run. */
async function settle() {
  for (let times = 0; times < 30; times += 1) await settled();
}

async function askOn(api, text = 'Where to?', more = {}) {
  const made = await page(api);
  assert.equal(made.conversation.ask({ text, ...more }), true);
  await settle();
  return made;
}

function answering(...answers) {
  return Object.assign(new Server(), { answers });
}

const timing = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
let status;
let waits; // timers that do not fire at once: { act, ms }
let isHurried; // timers fire at once, except the search for a lost turn

beforeEach(() => {
  status = { textContent: '' };
  [waits, isHurried] = [[], false];
  globalThis.setTimeout = (act, ms) => {
    if (ms === 0 || (isHurried && ms < LOOK_MS)) settled().then(act);
    else waits.push({ act, ms });
  };
  globalThis.clearTimeout = () => {};
  const shown = { hidden: false, querySelector: (name) => (assert.equal(name, '#status'), status) };
  globalThis.document = Object.assign(new EventTarget(), shown);
  Object.defineProperty(globalThis, 'navigator', { value: singleTab(), configurable: true, writable: true });
  removePendingTurn('holidays');
  removePendingTurn('default');
});

afterEach(() => {
  Object.assign(globalThis, timing);
  delete globalThis.document;
  delete globalThis.navigator;
});

describe('an opened conversation', () => {
  test('shows the stored messages', async () => {
    const api = new Server();
    api.stored.holidays = KEPT;
    const { view, composer, conversation, notice } = await page(api);
    assert.deepEqual([view.history, api.loaded, conversation.id], [KEPT, ['holidays'], 'holidays']);
    assert.deepEqual([composer.name, conversation.isBusy, notice.code, status.textContent], ['holidays', false, '', '']);
  });

  test('is not loaded if it is new', async () => {
    const { api, view, conversation } = await page(answering(whole(DONE)), { isNew: true });
    assert.deepEqual([api.loaded, view.history], [[], []]);
    conversation.ask({ text: 'Where to?' });
    await settle();
    assert.deepEqual([api.loaded, api.questions.length], [[], 1]);
  });

  test('shows no message of the previous one while loading', async () => {
    const api = new Server();
    api.stored = { holidays: KEPT, default: new Promise(() => {}) };
    const { view, conversation } = await page(api);
    conversation.open('default');
    assert.equal(view.history, null);
  });

  test('is not overwritten by a late response of a previous one', async () => {
    const api = new Server();
    const late = later();
    api.stored = { holidays: late.promise, default: [] };
    const { view, conversation } = await page(api);
    await conversation.open('default');
    late.resolve(KEPT);
    await settle();
    assert.deepEqual(view.history, []);
  });

  test('is not overwritten by a late response of its previous visit', async () => {
    const api = answering(endless(frame('Rome', 1)));
    const [late, now] = [later(), later()];
    api.stored = { holidays: late.promise, default: [] };
    const { view, conversation, notice, composer } = await page(api);
    await conversation.open('default');
    api.stored.holidays = now.promise;
    conversation.open('holidays');
    now.resolve(KEPT);
    await settle();
    conversation.ask({ text: 'Where to?' });
    await settle();
    late.reject(new Failure('unreachable'));
    await settle();
    assert.deepEqual([view.history, notice.code, composer.given], [KEPT, '', []]);
    view.history = 'as it is';
    conversation.stop();
    await settle();
    assert.equal(view.history, 'as it is');
  });

  test('shows a loading error and can be reloaded', async () => {
    const api = new Server();
    api.stored.holidays = new Failure('unreachable');
    const made = await page(api);
    const { view, notice } = made;
    assert.deepEqual([notice.code, notice.again.label], ['unreachable', 'Load again']);
    api.stored.holidays = KEPT;
    assert.deepEqual([view.history, notice.again.meanwhile], [null, 'Loading again']); // unknown, and not empty
    notice.again.run();
    await settle();
    assert.deepEqual([view.history, notice.code, made.lists], [KEPT, '', 2]);
  });

  test('prompts for a missing key', async () => {
    const api = new Server();
    api.stored.holidays = new Failure('unauthorized', { status: 401 });
    const { again } = (await page(api)).notice;
    assert.deepEqual([again.label, again.meanwhile], ['Enter a key', '']);
  });

  test('shows no error of a conversation that was left', async () => {
    const api = new Server();
    const late = later();
    api.stored = { holidays: late.promise, default: [] };
    const { notice, conversation } = await page(api);
    await conversation.open('default');
    late.resolve(new Failure('unreachable'));
    await settle();
    assert.equal(notice.code, '');
  });
});

describe('a question names its previous turn', () => {
  test('if the page knows it', async () => {
    const api = answering(whole(frame('Rome', 1) + DONE), endless(frame('one', 1)), whole(DONE));
    api.stored.holidays = KEPT;
    const { conversation } = await askOn(api);
    conversation.ask({ text: 'And then?' });
    await settle();
    const ended = later();
    api.ending = ended.promise; // the server is still storing the stopped turn
    conversation.stop();
    await settle();
    conversation.ask({ text: 'And then?' });
    ended.resolve();
    await settle();
    assert.deepEqual(api.follows, ['turn_0', 'turn_1', undefined]);
  });

  test('after a stopped turn, stored or not', async () => {
    for (const [stored, follows] of [[[...KEPT, { turn: 'turn_1', role: 'user', content: 'And then?' }], 'turn_1'], [KEPT, 'turn_0']]) {
      const api = answering(endless(frame('one', 1)), whole(DONE));
      api.stored.holidays = KEPT;
      const { view, conversation } = await askOn(api);
      const shown = view.history;
      api.stored.holidays = stored;
      conversation.stop();
      await settle();
      assert.equal(view.history, shown, 'nothing is shown again');
      conversation.ask({ text: 'And then?' });
      await settle();
      assert.deepEqual(api.follows, ['turn_0', follows]);
    }
  });

  test('and a turn of another tab is shown after a failed one', async () => {
    const api = answering(whole(frame('one', 1) + broke('upstream_error')), whole(DONE));
    api.stored.holidays = KEPT;
    const { view, conversation } = await page(api);
    conversation.ask({ text: 'And then?' });
    api.stored.holidays = [...KEPT, { turn: 'turn_9', role: 'user', content: 'Elsewhere' }];
    await settle();
    assert.equal(view.history.at(-1).turn, 'turn_9');
    conversation.ask({ text: 'And then?' });
    await settle();
    assert.deepEqual(api.follows, ['turn_0', 'turn_9']);
  });

  test('and names it again if the server rejected the question', async () => {
    const api = answering(new Failure('rate_limited', { status: 429 }), whole(DONE));
    const { conversation } = await askOn(api);
    conversation.ask({ text: 'Where to?' });
    await settle();
    assert.deepEqual(api.follows, ['', '']);
  });

  test('and if the server has a newer one, that is shown and the question becomes the draft', async () => {
    const api = answering(new Failure('conversation_changed', { status: 409 }));
    const made = await page(api);
    api.stored.holidays = KEPT;
    made.conversation.ask({ text: 'Where to?' });
    await settle();
    assert.deepEqual([made.view.history, made.view.isForgotten], [KEPT, false]);
    assert.deepEqual([made.notice.code, made.composer.given], ['conversation_changed', [['Where to?', 'holidays']]]);
    made.conversation.ask({ text: 'Where to?' });
    await settle();
    assert.deepEqual(api.follows, ['', 'turn_0']);
  });

  test('and if the conversation was lost, the shown messages stay and are marked', async () => {
    const api = answering(new Failure('conversation_changed', { status: 409 }), whole(DONE));
    api.stored.holidays = KEPT;
    const made = await page(api);
    api.stored.holidays = null;
    made.conversation.ask({ text: 'Where to?' });
    await settle();
    assert.deepEqual([made.view.history, made.view.isForgotten], [KEPT, true]);
    made.conversation.ask({ text: 'Where to?' });
    await settle();
    assert.deepEqual(api.follows, ['turn_0', '']);
  });
});

describe('a conversation that becomes visible again', () => {
  test('shows turns of another page', async () => {
    const { view, conversation, api } = await page();
    await conversation.refresh();
    assert.deepEqual([view.history, status.textContent], [[], '']);
    api.stored.holidays = KEPT;
    await conversation.refresh();
    assert.deepEqual(view.history, KEPT);
    assert.match(status.textContent, /changed elsewhere/);
  });

  test('shows that the server has lost it', async () => {
    const api = new Server();
    api.stored.holidays = KEPT;
    const { view, conversation } = await page(api);
    api.stored.holidays = null;
    await conversation.refresh();
    assert.deepEqual([view.history, view.isForgotten], [KEPT, true]);
    assert.equal(status.textContent, 'The server no longer has this conversation.');
  });

  test('is unchanged during an edit, a response, or a network error', async () => {
    const { view, conversation, api, notice } = await page(answering(endless(frame('Rome', 1))));
    api.stored.holidays = new Failure('unreachable');
    await conversation.refresh();
    api.stored.holidays = KEPT;
    view.isEditing = true;
    await conversation.refresh();
    view.isEditing = false;
    conversation.ask({ text: 'Where to?' });
    await settle();
    await conversation.refresh();
    assert.deepEqual([view.history, notice.code], [[], '']);
    conversation.stop();
    await settle();
  });

  test('is marked as unknown if the server never had it', async () => {
    const api = new Server();
    api.stored.holidays = null;
    const { view } = await page(api);
    assert.deepEqual([view.history, view.isUnknown], [[], true]);
  });
});

describe('a question', () => {
  test('is sent and its response shown to the end', async () => {
    const { api, view, conversation, composer, notice, lists } = await askOn(answering(whole(frame('Rome', 1) + frame('.', 2) + DONE)));
    const [shown] = view.turns;
    assert.deepEqual(api.questions, [{ conversation: 'holidays', text: 'Where to?', replaces: null }]);
    assert.deepEqual([shown.question, shown.turn, shown.settled, shown.withdrawn], ['Where to?', 'turn_1', true, false]);
    assert.deepEqual([shown.response.text, shown.response.state, shown.response.ends], ['Rome.', 'complete', 1]);
    assert.equal(shown.response.model, 'sim');
    assert.match(shown.response.pace, /^First token after \d+ ms/);
    assert.deepEqual([status.textContent, notice.code, lists, composer.given], ['Complete', '', 2, []]);
    assert.deepEqual([conversation.isBusy, composer.busy, view.busy, pendingTurn('holidays')], [false, false, false, null]);
  });

  test('shows that its response ended at the token limit', async () => {
    const { view } = await askOn(answering(whole(frame('Rome', 1) + frame(',', 2) + cut + DONE)));
    const { response } = view.turns[0];
    assert.deepEqual([response.state, response.reason, response.tokens], ['complete', 'length', 2]);
    assert.equal(status.textContent, 'Stopped at the limit');
  });

  test('with its own options has them once and is retried without', async () => {
    const api = answering(whole(frame('Rome', 1) + broke('upstream_stream_error')), whole(DONE));
    const { notice } = await askOn(api, 'Fail.', { options: { model: 'sim:fault=error@1' } });
    notice.again.run();
    await settle();
    assert.deepEqual(api.questions.map(({ options }) => options), [{ model: 'sim:fault=error@1' }, undefined]);
  });

  test('that continues a response names its turn and appends to it', async () => {
    const api = answering(whole(frame(' it is', 1) + DONE));
    const { view } = await askOn(api, 'Go on.', { replaces: 'turn_0', isShown: true, isContinued: true });
    assert.deepEqual(api.questions, [{ conversation: 'holidays', text: 'Go on.', replaces: 'turn_0', isContinued: true }]);
    assert.equal(view.turns[0].response.text, 'Rome it is');
  });

  test('that continues a response without any text leaves response and draft unchanged', async () => {
    const api = answering(new Failure('upstream_failed', { status: 502 }));
    const { view, composer, notice } = await askOn(api, 'Go on.', { replaces: 'turn_0', isShown: true, isContinued: true });
    assert.deepEqual([view.turns[0].withdrawn, composer.given, notice.again.label], [true, [], 'Try again']);
    notice.again.run();
    await settle();
    assert.deepEqual(api.questions[1], api.questions[0]);
  });

  test('is stored in the tab until its end', async () => {
    const { api, view, conversation, composer } = await askOn(answering(endless(frame('Rome', 1))), 'Where to?', { replaces: 'turn_0' });
    assert.deepEqual([conversation.isBusy, composer.busy, view.busy, status.textContent], [true, true, true, 'Generating…']);
    const { key, ...stored } = pendingTurn('holidays');
    const question = { question: 'Where to?', replaces: 'turn_0', isShown: false };
    assert.deepEqual([stored, [key]], [{ ...question, after: '', id: 'turn_1', model: 'sim', isGivenUp: false }, api.keys]);
    assert.deepEqual([view.turns[0].response.state, view.turns[0].settled], ['open', true]);
    conversation.stop();
    await settle();
  });

  test('is rejected while another one runs', async () => {
    const { api, conversation, view } = await askOn(answering(endless('')));
    assert.equal(conversation.ask({ text: 'And then?' }), false);
    await settle();
    assert.deepEqual([api.questions.length, view.turns.length], [1, 1]);
    conversation.stop();
    await settle();
  });

  test('waits for the messages before it', async () => {
    const late = later();
    const api = answering(whole(DONE));
    api.stored.holidays = late.promise;
    const { view, composer } = await askOn(api);
    assert.deepEqual([api.questions, view.turns, composer.busy], [[], [], true]);
    late.resolve(KEPT);
    await settle();
    assert.deepEqual([api.questions.length, view.history], [1, KEPT]);
  });

  test('becomes the draft again if those cannot be loaded', async () => {
    const api = answering(whole(DONE));
    api.stored.holidays = new Failure('unreachable');
    const { view, composer, notice, conversation } = await askOn(api);
    assert.deepEqual([api.questions, view.turns, composer.given], [[], [], [['Where to?', 'holidays']]]);
    assert.deepEqual([notice.code, conversation.isBusy], ['unreachable', false]);
  });

  test('becomes the draft once if loading had already started', async () => {
    const late = later();
    const api = answering(whole(DONE));
    api.stored.holidays = late.promise;
    const { composer, conversation } = await page(api);
    conversation.ask({ text: 'Where to?' });
    await settle();
    late.reject(new Failure('overloaded', { status: 503 }));
    await settle();
    assert.deepEqual([composer.given, conversation.isBusy], [[['Where to?', 'holidays']], false]);
  });

  test('with an empty response is complete', async () => {
    const { view } = await askOn(answering(whole(DONE)));
    assert.deepEqual([view.turns[0].response.state, view.turns[0].withdrawn], ['complete', false]);
  });

  test('that replaces another shows the old response until the first token', async () => {
    const { view, conversation } = await askOn(answering(endless('')), 'Where to?', { replaces: 'turn_0' });
    const [shown] = view.turns;
    assert.deepEqual([shown.replaces, shown.settled], ['turn_0', false]);
    conversation.stop();
    await settle();
    assert.deepEqual([shown.settled, shown.withdrawn], [false, true]);
  });
});

describe('the idempotency key of a question', () => {
  const unreachable = () => new Failure('unreachable');
  const complete = whole(frame('Rome', 1) + DONE);

  test('is unique', async () => {
    const { api, conversation } = await askOn(answering(complete));
    conversation.ask({ text: 'Where to?' });
    await settle();
    assert.match(api.keys[0], /^[0-9a-f]{32}$/);
    assert.notEqual(api.keys[0], api.keys[1]);
  });

  for (const [how, again] of [
    ['by the button', ({ notice }) => notice.again.run()],
    ['by hand', ({ conversation }) => conversation.ask({ text: 'Where to?' })],
  ]) {
    test(`stays when it is sent again ${how}, for the server may have it`, async () => {
      const made = await askOn(answering(unreachable(), complete));
      const { api, composer, view } = made;
      assert.deepEqual([composer.given, pendingTurn('holidays').isGivenUp], [[['Where to?', 'holidays']], true]);
      again(made);
      await settle();
      assert.equal(api.keys[0], api.keys[1]);
      assert.deepEqual([view.turns[1].response.state, pendingTurn('holidays')], ['complete', null]);
    });
  }

  test('is kept after a reload', async () => {
    const { api } = await askOn(answering(unreachable()));
    const { api: anew, composer, conversation } = await page(answering(complete));
    assert.deepEqual(composer.given, []); // it was restored before
    conversation.ask({ text: 'Where to?' });
    await settle();
    assert.deepEqual(anew.keys, api.keys);
  });

  test('is kept when a response is regenerated', async () => {
    const again = { replaces: 'turn_0', isShown: true };
    const { api, composer, conversation } = await askOn(answering(unreachable(), complete), 'Hello?', again);
    conversation.ask({ text: 'Hello?', ...again });
    await settle();
    assert.deepEqual([api.keys[0] === api.keys[1], composer.given], [true, []]);
  });

  test('is kept when an unchanged edit is sent again', async () => {
    const edit = { replaces: 'turn_0' };
    const { api, conversation, composer, view } = await askOn(answering(unreachable(), complete), 'Where to?', edit);
    assert.deepEqual([composer.given, view.edited], [[], [['turn_0', 'Where to?']]]);
    conversation.ask({ text: 'Where to?', ...edit });
    await settle();
    assert.equal(api.keys[0], api.keys[1]);
    assert.deepEqual([api.questions[1].replaces, pendingTurn('holidays')], ['turn_0', null]);
  });

  test('is new after an edit was refused', async () => {
    const edit = { replaces: 'turn_0' };
    const refused = new Failure('rate_limited', { status: 429 });
    const { api, conversation, composer, view } = await askOn(answering(refused, complete), 'Where to?', edit);
    assert.deepEqual([composer.given, view.edited], [[], [['turn_0', 'Where to?']]]);
    conversation.ask({ text: 'Where to?', ...edit });
    await settle();
    assert.notEqual(api.keys[0], api.keys[1]);
  });

  test('is new, like its position, when the same text is a new question', async () => {
    const { api, conversation } = await askOn(answering(unreachable(), complete), 'Where to?', { replaces: 'turn_0' });
    conversation.ask({ text: 'Where to?' });
    await settle();
    assert.notEqual(api.keys[0], api.keys[1]);
    assert.equal(api.questions[1].replaces, null);
  });

  test('is new when the text of a regenerated turn is sent as a new question', async () => {
    const again = { replaces: 'turn_0', isShown: true };
    const { api, conversation } = await askOn(answering(unreachable(), complete), 'Hello?', again);
    conversation.ask({ text: 'Hello?' });
    await settle();
    assert.notEqual(api.keys[0], api.keys[1]);
    assert.equal(api.questions[1].replaces, null);
  });

  for (const [what, other] of [
    ['is changed', { text: 'Where from?' }],
    ['is asked in another place', { text: 'Where to?', replaces: 'turn_0' }],
  ]) {
    test(`is another when it ${what}`, async () => {
      const { api, conversation } = await askOn(answering(unreachable(), complete));
      conversation.ask(other);
      await settle();
      assert.notEqual(api.keys[0], api.keys[1]);
    });
  }

  test('is new after a refusal', async () => {
    const { api, conversation } = await askOn(answering(new Failure('rate_limited', { status: 429 }), complete));
    conversation.ask({ text: 'Where to?' });
    await settle();
    assert.notEqual(api.keys[0], api.keys[1]);
  });
});

describe('stopping', () => {
  test('keeps the received text and marks it as incomplete', async () => {
    const made = await askOn(answering(endless(frame('Rome', 1))));
    const { api, view, conversation, composer, notice } = made;
    conversation.stop();
    await settle();
    const { response } = view.turns[0];
    assert.deepEqual([response.text, response.state, response.ends, response.model], ['Rome', 'stopped', 1, 'sim']);
    assert.deepEqual([api.stopped, status.textContent, notice.code, composer.given], [['turn_1'], 'Stopped', '', []]);
    assert.deepEqual([conversation.isBusy, composer.busy, pendingTurn('holidays'), made.lists], [false, false, null, 2]);
  });

  test('before the first token restores the draft', async () => {
    const { api, view, conversation, composer, notice } = await askOn(answering(endless('')));
    conversation.stop();
    await settle();
    assert.deepEqual([view.turns[0].withdrawn, view.turns[0].response.ends], [true, 0]);
    assert.deepEqual([composer.given, status.textContent, notice.code], [[['Where to?', 'holidays']], 'Stopped', '']);
    assert.deepEqual([api.stopped, pendingTurn('holidays')], [['turn_1'], null]);
  });

  test('before the head restores the draft at once and stops the turn when its id is known', async () => {
    const head = later();
    const { api, view, conversation, composer } = await askOn(answering(head.promise));
    conversation.stop();
    await settle();
    assert.deepEqual([view.turns[0].withdrawn, composer.given.length, composer.busy, api.stopped], [true, 1, false, []]);
    head.resolve(whole(frame('Rome', 1) + DONE)());
    await settle();
    assert.deepEqual([api.stopped, pendingTurn('holidays'), view.turns[0].response.text], [['turn_1'], null, '']);
  });

  test('while messages are loading restores the draft', async () => {
    const api = answering(whole(DONE));
    api.stored.holidays = new Promise(() => {});
    const { view, conversation, composer } = await askOn(api);
    conversation.stop();
    await settle();
    assert.deepEqual([api.questions, view.turns, composer.given, composer.busy], [[], [], [['Where to?', 'holidays']], false]);
  });

  test('sends one request for any number of clicks', async () => {
    const { api, conversation, view } = await askOn(answering(endless(frame('Rome', 1))));
    conversation.stop();
    conversation.stop();
    await settle();
    conversation.stop();
    await settle();
    assert.deepEqual([api.stopped, view.turns[0].response.ends], [['turn_1'], 1]);
  });

  test('delays the next question until the server has ended the turn', async () => {
    const ended = later();
    const { api, conversation } = await askOn(answering(endless(frame('Rome', 1)), whole(DONE)));
    api.ending = ended.promise;
    conversation.stop();
    await settle();
    conversation.ask({ text: 'And then?' });
    await settle();
    assert.equal(api.questions.length, 1);
    ended.resolve();
    await settle();
    assert.equal(api.questions.length, 2);
  });

  test('delays the next question for a limited time', async () => {
    const { api, conversation } = await askOn(answering(endless(frame('Rome', 1)), whole(DONE)));
    api.ending = new Promise(() => {});
    conversation.stop();
    await settle();
    conversation.ask({ text: 'And then?' });
    await settle();
    assert.equal(api.questions.length, 1);
    const [{ act, ms }] = waits;
    assert.ok(ms <= 10_000, `${ms}`);
    act();
    await settle();
    assert.equal(api.questions.length, 2);
  });

  test('shows an error if the server cannot stop the turn', async () => {
    const { api, conversation, notice, view } = await askOn(answering(endless(frame('Rome', 1))));
    api.ending = Promise.reject(new Failure('unreachable'));
    conversation.stop();
    await settle();
    assert.deepEqual([notice.code, view.turns[0].response.state, conversation.isBusy], ['unreachable', 'stopped', false]);
    assert.equal(notice.again.label, 'Stop again');
    api.ending = Promise.resolve();
    notice.again.run();
    await settle();
    assert.deepEqual([api.stopped, notice.code], [['turn_1', 'turn_1'], '']);
  });

  test('is complete when the server has ended the turn', async () => {
    const ended = later();
    const { api, conversation } = await askOn(answering(endless(frame('Rome', 1))));
    api.ending = ended.promise;
    const [deleting, before] = [later(), api.loaded.length];
    let isOver = false;
    const resting = conversation.runStopped(() => {
      isOver = true;
      return deleting.promise;
    });
    await settle();
    assert.deepEqual([api.stopped, isOver], [['turn_1'], false]);
    ended.resolve();
    await settle();
    assert.deepEqual([isOver, api.loaded.length], [true, before], 'nothing is loaded during the deletion');
    deleting.resolve();
    await resting;
    await conversation.refresh();
    assert.equal(api.loaded.length, before + 1);
  });

  test('does nothing without a turn in progress', async () => {
    const { api, conversation } = await page();
    conversation.stop();
    await conversation.runStopped(async () => {});
    assert.deepEqual([api.stopped, status.textContent], [[], '']);
  });
});

describe('a failure', () => {
  test('before the first token restores the draft and can be retried', async () => {
    const api = answering(new Failure('rate_limited', { status: 429, retryAfterS: 3 }), whole(frame('Rome', 1) + DONE));
    const { view, composer, notice, conversation } = await askOn(api, 'Where to?', { replaces: 'turn_0' });
    assert.deepEqual([view.turns[0].withdrawn, view.edited], [true, [['turn_0', 'Where to?']]]);
    assert.deepEqual([composer.given, status.textContent], [[], '']);
    assert.deepEqual([notice.code, notice.again.label], ['rate_limited', 'Try again']);
    assert.deepEqual([conversation.isBusy, placed()], [false, PLACED]);
    notice.again.run();
    await settle();
    assert.deepEqual(composer.taken, ['Where to?']);
    assert.deepEqual(api.questions.map(({ text, replaces }) => [text, replaces]), [['Where to?', 'turn_0'], ['Where to?', 'turn_0']]);
    assert.deepEqual([view.turns[1].response.state, notice.code], ['complete', '']);
  });

  test('after the first token keeps the text, not as a complete response', async () => {
    const { view, composer, notice, conversation } = await askOn(answering(whole(frame('Rome', 1) + broke('upstream_reset'))));
    const [shown] = view.turns;
    assert.deepEqual([shown.response.text, shown.response.state, shown.response.ends], ['Rome', 'failed', 1]);
    assert.deepEqual([shown.withdrawn, composer.given, conversation.isBusy], [false, [], false]);
    assert.deepEqual([notice.code, notice.again.label, status.textContent], ['upstream_reset', 'Try again', '']);
    assert.equal(pendingTurn('holidays'), null);
  });

  test('after the first token can be retried in place, stored or not', async () => {
    const changed = new Failure('conversation_changed', { status: 409 });
    const api = answering(whole(frame('Rome', 1) + broke('upstream_reset')), changed, whole(frame('Oslo', 1) + DONE));
    const { view, notice } = await askOn(api);
    notice.again.run();
    await settle();
    assert.deepEqual(api.questions.map(({ replaces }) => replaces), [null, 'turn_1', null]);
    assert.deepEqual([view.turns[1].replaces, view.turns[1].response.text, view.turns[1].response.state], ['turn_1', 'Oslo', 'complete']);
  });

  test('that a retry cannot resolve has no button', async () => {
    const { composer, notice } = await askOn(answering(new Failure('body_too_large', { status: 413 })));
    assert.deepEqual([notice.code, notice.again, composer.given.length], ['body_too_large', null, 1]);
  });

  test('because of a changed conversation shows its current state', async () => {
    const api = answering(new Failure('conversation_changed', { status: 409 }));
    const { view, composer, notice, conversation } = await page(api);
    api.stored.holidays = KEPT;
    conversation.ask({ text: 'Where to?', replaces: 'turn_7' });
    await settle();
    assert.deepEqual([notice.code, notice.again, composer.given.length], ['conversation_changed', null, 1]);
    assert.deepEqual([view.history, api.loaded], [KEPT, ['holidays', 'holidays']]);
  });

  test('because of a changed conversation restores a question that was removed', async () => {
    const api = answering(new Failure('conversation_changed', { status: 409 }));
    const { composer } = await askOn(api, 'Where to?', { replaces: 'turn_7', isShown: true });
    assert.deepEqual(composer.given, [['Where to?', 'holidays']]);
  });

  test('because of a changed conversation keeps a question that is still stored', async () => {
    const api = answering(new Failure('conversation_changed', { status: 409 }));
    api.stored.holidays = KEPT;
    const { composer, view } = await askOn(api, 'Hello?', { replaces: 'turn_0', isShown: true });
    assert.deepEqual([composer.given, view.history, api.loaded.length], [[], KEPT, 2]);
  });

  test('because of a changed conversation restores a question that only the page has', async () => {
    const api = answering(new Failure('conversation_changed', { status: 409 }));
    api.stored.holidays = KEPT;
    const { composer, view, conversation } = await page(api);
    api.stored.holidays = null;
    conversation.ask({ text: 'Hello?', replaces: 'turn_0', isShown: true });
    await settle();
    assert.deepEqual([composer.given, view.isForgotten], [[['Hello?', 'holidays']], true]);
  });

  test('because of a changed conversation does not make the text of Continue a draft', async () => {
    const api = answering(new Failure('conversation_changed', { status: 409 }));
    const { composer } = await askOn(api, 'Go on.', { replaces: 'turn_7', isShown: true, isContinued: true });
    assert.deepEqual([composer.given, pendingTurn('holidays')], [[], null]);
  });

  test('of a regenerated response keeps the question in place', async () => {
    const api = answering(new Failure('rate_limited', { status: 429 }));
    const { composer } = await askOn(api, 'Where to?', { replaces: 'turn_7', isShown: true });
    assert.deepEqual(composer.given, []);
  });

  test('of the page is logged to the console and has a message', async (t) => {
    const log = t.mock.method(console, 'error', () => {});
    const { notice, composer } = await askOn(answering(new TypeError('planted')));
    assert.deepEqual([notice.code, composer.given.length], ['page', 1]);
    assert.equal(log.mock.calls[0].arguments[0].message, 'planted');
    const failure = new Failure('cut');
    assert.equal(asFailure(failure), failure);
    assert.equal(log.mock.callCount(), 1);
  });
});

describe('a connection that breaks', () => {
  test('is reported, and so is its recovery', async () => {
    const seen = [];
    status = { set textContent(text) { seen.push(text); } };
    const api = answering(whole(frame('Rome', 1)));
    api.rest = [whole(frame('!', 2) + DONE)];
    const { view } = await askOn(api);
    assert.deepEqual(seen, ['', 'Generating…', 'Connection lost. Reconnecting…', 'Generating…', 'Complete']);
    assert.deepEqual([view.turns[0].response.text, api.followed], ['Rome!', [{ turn: 'turn_1', after: '1' }]]);
  });

  test('that does not recover fails the response; a reload may find it', async () => {
    isHurried = true;
    const { api, view, notice } = await askOn(answering(whole(frame('Rome', 1))));
    for (let times = 0; times < TRIES; times += 1) await settle();
    assert.deepEqual([view.turns[0].response.state, notice.code, notice.again.label], ['failed', 'cut', 'Try again']);
    assert.deepEqual([api.followed.length, pendingTurn('holidays').id], [10, 'turn_1']);
  });

  test('to a turn that no longer exists reports the loss', async () => {
    const api = answering(whole(frame('Rome', 1)));
    api.rest = [new Failure('resume_expired', { status: 410 })];
    const { view, notice } = await askOn(api);
    assert.deepEqual([view.turns[0].response.state, notice.code, pendingTurn('holidays')], ['failed', 'response_lost', null]);
  });

  test('to a turn that has ended shows the stored response', async () => {
    const api = answering(whole(frame('Rome', 1)));
    api.rest = [new Failure('resume_expired', { status: 410 })];
    const { view, conversation, notice } = await page(api);
    const stored = { role: 'assistant', content: 'Rome, of course.', turn: 'turn_1', model: 'big', ttft_s: 1.5 };
    api.stored.holidays = [{ role: 'user', content: 'Where to?', turn: 'turn_1' }, stored];
    conversation.ask({ text: 'Where to?' });
    await settle();
    const { response } = view.turns[0];
    assert.deepEqual([response.text, response.state, response.model, response.pace], ['Rome, of course.', 'complete', 'big', 'First token after 1.50 s']);
    assert.deepEqual([notice.code, status.textContent], ['', 'Complete']);
  });
});

describe('switching the conversation', () => {
  test('lets the turn of the previous one continue and shows nothing of it', async () => {
    const turn = endless(frame('Rome', 1));
    const { api, view, conversation, composer } = await askOn(answering(turn));
    await conversation.open('default');
    await settle();
    assert.deepEqual([api.stopped, view.turns[0].response.ends, composer.given], [[], 0, []]);
    assert.deepEqual([conversation.isBusy, composer.busy, composer.name], [false, false, 'default']);
    assert.equal(pendingTurn('holidays').id, 'turn_1');
    assert.equal(pendingTurn('default'), null);
  });

  test('allows a question at once', async () => {
    const { api, view, conversation } = await askOn(answering(endless(frame('Rome', 1)), whole(frame('Yes', 1) + DONE)));
    conversation.open('default');
    assert.equal(conversation.ask({ text: 'Ready?' }), true);
    await settle();
    assert.equal(api.questions[1].conversation, 'default');
    assert.deepEqual(view.turns.map(({ response }) => response.state), ['open', 'complete']);
  });

  test('back resumes the turn of the previous one', async () => {
    const { api, view, conversation } = await askOn(answering(endless(frame('Rome', 1))));
    await conversation.open('default');
    api.rest = [whole(frame('Rome', 1) + frame('.', 2) + DONE)];
    await conversation.open('holidays');
    await settle();
    assert.deepEqual(api.followed, [{ turn: 'turn_1', after: '0' }]);
    assert.deepEqual([view.turns[1].question, view.turns[1].turn], ['Where to?', 'turn_1']);
    assert.deepEqual([view.turns[1].response.text, view.turns[1].response.state], ['Rome.', 'complete']);
    assert.deepEqual([api.questions.length, pendingTurn('holidays')], [1, null]);
  });

  test('before the head keeps the question findable, or as the draft of its conversation', async () => {
    const head = later();
    const { conversation, composer } = await askOn(answering(head.promise));
    await conversation.open('default');
    head.resolve(endless('')({ signal: new AbortController().signal }));
    await settle();
    assert.deepEqual([pendingTurn('holidays').id, composer.given], ['turn_1', []]);
  });

  test('while messages are loading restores the question once in its conversation', async () => {
    const api = answering(whole(DONE));
    api.stored = { holidays: new Promise(() => {}), default: [] };
    const { conversation, composer, view } = await askOn(api);
    await conversation.open('default');
    await settle();
    assert.deepEqual([composer.given, api.questions, view.turns], [[['Where to?', 'holidays']], [], []]);
    assert.equal(conversation.isBusy, false);
  });

  test('keeps a rejected question as the draft of its conversation', async () => {
    const head = later();
    const { conversation, composer, notice } = await askOn(answering(head.promise));
    await conversation.open('default');
    head.reject(new Failure('unreachable'));
    await settle();
    assert.deepEqual([composer.given, notice.code], [[['Where to?', 'holidays']], '']);
  });
});

test('the end of each turn is reported in its words', async () => {
  for (const [answer, words] of [
    [whole(frame('a', 1) + DONE), 'Complete'],
    [whole(frame('a', 1) + cut + DONE), 'Stopped at the limit'],
    [whole(frame('a', 1) + broke('upstream_truncated')), 'The model stopped before its end; the response is not complete'],
    [new Failure('upstream_failed', { status: 502 }), 'The model failed'],
  ]) {
    const { ends } = await askOn(answering(answer));
    assert.deepEqual(ends, [words]);
  }
});

test('a question that fails after the user returned is restored once', async () => {
  const head = later();
  const { conversation, composer } = await askOn(answering(head.promise));
  await conversation.open('default');
  await conversation.open('holidays');
  assert.deepEqual(composer.given, [['Where to?', 'holidays']]);
  head.reject(new Failure('unreachable'));
  await settle();
  assert.equal(composer.given.length, 1);
});

test('a question sent again while its first request hangs is not restored twice', async () => {
  const head = later();
  const { conversation, composer, view } = await askOn(answering(head.promise, endless(frame('Rome', 1))));
  await conversation.open('default');
  await conversation.open('holidays');
  conversation.ask({ text: 'Where to?' });
  await settle();
  head.reject(new Failure('unreachable'));
  await settle();
  assert.deepEqual([composer.given.length, view.turns.at(-1).response.text], [1, 'Rome']);
  conversation.stop();
  await settle();
});

test('a question whose head arrives after the user returned is found by its key', async () => {
  const head = later();
  const { api, conversation } = await askOn(answering(head.promise, whole(frame('Rome', 1) + DONE)));
  await conversation.open('default');
  await conversation.open('holidays');
  head.resolve(endless('')({ signal: new AbortController().signal }));
  await settle();
  conversation.ask({ text: 'Where to?' });
  await settle();
  assert.equal(api.keys[0], api.keys[1]);
});

describe('a question before its turn id, after a reload', () => {
  const pending = { key: 'k', id: '', question: 'Hello?', replaces: null, isShown: false, after: '', isGivenUp: false };
  const opened = async (stored, found) => {
    storePendingTurn('holidays', stored);
    const api = new Server();
    api.stored.holidays = found;
    return page(api);
  };

  test('is restored once', async () => {
    const { composer, view, conversation } = await opened(pending, []);
    assert.deepEqual([composer.given, view.turns], [[['Hello?', 'holidays']], []]);
    await conversation.show();
    assert.equal(composer.given.length, 1);
  });

  test('is restored if the previous question has the same text', async () => {
    const { composer } = await opened({ ...pending, after: 'turn_0' }, KEPT);
    assert.deepEqual(composer.given, [['Hello?', 'holidays']]);
  });

  test('is restored if it was not sent', async () => {
    const { composer } = await opened({ ...pending, after: null }, KEPT);
    assert.deepEqual(composer.given, [['Hello?', 'holidays']]);
  });

  test('is not restored if it is stored', async () => {
    const { composer } = await opened(pending, KEPT);
    assert.deepEqual([composer.given, composer.taken, pendingTurn('holidays')], [[], [], null]);
  });

  test('is removed from the draft if it turns out to be stored', async () => {
    const { composer } = await opened({ ...pending, isGivenUp: true }, KEPT);
    assert.deepEqual([composer.given, composer.taken, pendingTurn('holidays')], [[], ['Hello?'], null]);
  });

  test('is restored if the conversation cannot be loaded', async () => {
    const { composer, notice } = await opened(pending, new Failure('unauthorized', { status: 401 }));
    assert.deepEqual([composer.given, notice.code], [[['Hello?', 'holidays']], 'unauthorized']);
  });

  test('is not restored if it is shown', async () => {
    const { composer } = await opened({ ...pending, isShown: true, replaces: 'turn_7' }, []);
    assert.deepEqual(composer.given, []);
  });
});

describe('a failed edit', () => {
  const pending = { key: '0'.repeat(32), ...PLACED };

  test('is open again after a reload, until the user cancels it', async () => {
    storePendingTurn('holidays', pending);
    const { conversation, view, composer } = await page();
    assert.deepEqual([view.edited, composer.given], [[['turn_0', 'Where to?']], []]);
    conversation.cancelEdit('turn_7');
    assert.deepEqual(placed(), PLACED);
    conversation.cancelEdit('turn_0');
    assert.equal(pendingTurn('holidays'), null);
  });

  test('is a draft after a reload if its message no longer exists', async () => {
    storePendingTurn('holidays', pending);
    const view = Object.assign(new View(), { isThere: false });
    const composer = new Composer();
    const conversation = new Conversation({ api: new Server(), view, composer, notice: new Notice(), onTurn: () => {} });
    await conversation.open('holidays');
    assert.deepEqual([composer.given, placed()], [[['Where to?', 'holidays']], { ...PLACED, isDraft: true }]);
    await conversation.open('holidays');
    assert.equal(composer.given.length, 1);
  });

  test('waits for its conversation, which cannot be loaded', async () => {
    storePendingTurn('holidays', { ...pending, isGivenUp: false, after: '' });
    const api = new Server();
    api.stored.holidays = new Failure('unreachable');
    const { view, composer, notice } = await page(api);
    assert.deepEqual([view.edited, composer.given], [[], []]);
    api.stored.holidays = KEPT;
    notice.again.run();
    await settle();
    assert.deepEqual([view.edited, composer.given], [[['turn_0', 'Where to?']], []]);
  });

  test('is open again in its conversation only', async () => {
    const head = later();
    const { view, conversation, composer } = await askOn(answering(head.promise), 'Where to?', { replaces: 'turn_0' });
    await conversation.open('default');
    head.reject(new Failure('unreachable'));
    await settle();
    assert.deepEqual([view.edited, composer.given], [[], []]);
    await conversation.open('holidays');
    assert.deepEqual([view.edited, composer.given], [[['turn_0', 'Where to?']], []]);
  });
});

test('a lost question is run once, for any number of lost heads', async () => {
  isHurried = true;
  const unreachable = () => new Failure('unreachable');
  const api = answering(whole(''), unreachable(), unreachable(), whole(frame('Rome', 1) + DONE));
  const { notice, composer } = await askOn(api);
  for (let times = 0; times < TRIES; times += 1) await settle();
  api.rest = [GONE];
  for (let times = 0; times < 3; times += 1) {
    notice.again.run();
    await settle();
  }
  assert.deepEqual(api.questions.map(({ replaces }) => replaces), [null, 'turn_1', 'turn_1', 'turn_1']);
  assert.equal(new Set(api.keys.slice(1)).size, 1);
  assert.equal(composer.given.length, composer.taken.length);
});

test('a retried lost edit replaces its original message', async () => {
  isHurried = true;
  const api = answering(whole(''), whole(frame('Rome', 1) + DONE));
  const { view, notice } = await askOn(api, 'Where to?', { replaces: 'turn_0' });
  for (let times = 0; times < TRIES; times += 1) await settle();
  api.rest = [GONE];
  notice.again.run();
  await settle();
  assert.deepEqual(view.turns.map(({ replaces }) => replaces), ['turn_0', 'turn_0', 'turn_0']);
  assert.equal(api.questions.length, 2);
});

describe('a turn with a lost connection', () => {
  const ROME = [
    { role: 'user', content: 'Where to?', turn: 'turn_1' },
    { role: 'assistant', content: 'Rome!', turn: 'turn_1', model: 'sim' },
  ];

  async function lost(api = answering(whole(frame('Rome', 1)))) {
    isHurried = true;
    const made = await askOn(api);
    for (let times = 0; times < TRIES; times += 1) await settle();
    assert.deepEqual([made.view.turns[0].response.state, made.notice.again.label], ['failed', 'Try again']);
    return made;
  }

  test('is searched for before a new request', async () => {
    const { api, view, notice } = await lost();
    api.rest = [whole(frame('Rome', 1) + frame('!', 2) + DONE)];
    notice.again.run();
    await settle();
    const { response, settled: isSettled } = view.turns[1];
    assert.deepEqual([response.text, response.state, isSettled, api.questions.length], ['Rome!', 'complete', true, 1]);
    assert.deepEqual([pendingTurn('holidays'), notice.code, view.turns[1].replaces], [null, '', 'turn_1']);
  });

  test('is requested again if it is not stored', async () => {
    const { api, view, notice } = await lost(answering(whole(frame('Rome', 1)), whole(frame('Paris', 1) + DONE)));
    api.rest = [GONE];
    notice.again.run();
    await settle();
    assert.deepEqual(api.questions.map(({ replaces }) => replaces), [null, 'turn_1']);
    assert.deepEqual([view.turns[1].withdrawn, view.turns[2].response.text], [true, 'Paris']);
  });

  test('is searched for again while the server is unreachable', async () => {
    const { api, view, notice } = await lost();
    const followed = api.followed.length;
    notice.again.run();
    for (let times = 0; times < TRIES; times += 1) await settle();
    assert.deepEqual([notice.code, notice.again.label, api.followed.length - followed], ['unreachable', 'Try again', 10]);
    assert.deepEqual([api.questions.length, view.turns[1].withdrawn, view.turns[0].withdrawn], [1, true, false]);
  });

  test('is shown automatically once its result is known', async () => {
    const { api, view, notice } = await lost();
    api.stored.holidays = new Failure('unreachable');
    const followed = api.followed.length;
    waits.findLast(({ ms }) => ms === LOOK_MS).act();
    await settle();
    assert.deepEqual([notice.code, api.followed.length], ['cut', followed]);
    api.stored.holidays = ROME;
    waits.findLast(({ ms }) => ms === LOOK_MS).act();
    await settle();
    assert.deepEqual([view.history, notice.code, pendingTurn('holidays')], [ROME, '', null]);
    assert.match(status.textContent, /completed while you were disconnected/);
    assert.deepEqual([api.questions.length, api.followed.length], [1, followed]);
  });

  test('is resumed automatically if it is running, and not requested again if it is unknown', async () => {
    const { api, view, conversation, notice } = await lost();
    api.rest = [GONE];
    await conversation.refresh();
    assert.deepEqual([notice.code, api.questions.length, view.turns[1].withdrawn], ['response_lost', 1, true]);
    const other = await lost(answering(whole(frame('Rome', 1))));
    other.api.rest = [whole(frame('Rome', 1) + frame('!', 2) + DONE)];
    await other.conversation.refresh();
    assert.deepEqual([other.view.turns[1].response.text, other.notice.code], ['Rome!', '']);
  });
});

test('a question waits for a running turn that is not shown yet', async () => {
  storePendingTurn('holidays', { key: 'k', id: 'turn_1', question: 'Where to?', replaces: null, isShown: false, after: '', isGivenUp: false });
  const api = answering(whole(DONE));
  const late = later();
  api.stored.holidays = late.promise;
  api.rest = [whole(frame('Rome', 1) + DONE)];
  const { conversation, view } = await page(api);
  assert.equal(conversation.ask({ text: 'And then?' }), false);
  assert.equal(status.textContent, 'A response is still loading.');
  late.resolve([]);
  await settle();
  assert.deepEqual([view.turns[0].response.text, api.questions], ['Rome', []]);
  assert.equal(conversation.ask({ text: 'And then?' }), true);
  await settle();
});

test('a question retries a failed load first', async () => {
  storePendingTurn('holidays', { key: 'k', id: 'turn_1', question: 'Where to?', replaces: null, isShown: false, after: '', isGivenUp: false });
  const api = answering(whole(DONE));
  api.stored.holidays = new Failure('overloaded', { status: 503 });
  api.rest = [whole(frame('Rome', 1) + DONE)];
  const { conversation, view } = await page(api);
  api.stored.holidays = [];
  assert.equal(conversation.ask({ text: 'And then?' }), false);
  await settle();
  assert.deepEqual([view.turns[0].response.text, api.questions], ['Rome', []]);
});

test('a lost replacing turn is requested again as a replacement if it is not stored', async () => {
  const changed = new Failure('conversation_changed', { status: 409 });
  const broken = whole(frame('Rome', 1) + broke('upstream_reset'));
  const { api, notice } = await askOn(answering(broken, changed, whole(DONE)), 'Where to?', { replaces: 'turn_0' });
  notice.again.run();
  await settle();
  assert.deepEqual(api.questions.map(({ replaces }) => replaces), ['turn_0', 'turn_1', 'turn_0']);
});

describe('a turn in progress at a reload', () => {
  const pending = { key: 'k', id: 'turn_1', question: 'Where to?', replaces: 'turn_0', isShown: false, after: '', isGivenUp: false };

  test('is removed from the draft after it was given up', async () => {
    storePendingTurn('holidays', { ...pending, isGivenUp: true });
    const api = new Server();
    api.rest = [new Failure('not_found', { status: 404 })];
    const { composer, view } = await page(api);
    assert.deepEqual([view.turns[0].question, composer.taken], ['Where to?', ['Where to?']]);
    assert.deepEqual([view.edited, composer.given, placed()], [[['turn_0', 'Where to?']], [], PLACED]);
  });

  test('is a draft if its message no longer exists', async () => {
    storePendingTurn('holidays', pending);
    const api = new Server();
    api.rest = [new Failure('not_found', { status: 404 })];
    const made = { api, view: new View(), composer: new Composer(), notice: new Notice() };
    made.view.isThere = false;
    await new Conversation({ ...made, onTurn: () => {} }).open('holidays');
    assert.deepEqual([made.composer.given, placed()], [[['Where to?', 'holidays']], { ...PLACED, isDraft: true }]);
  });

  test('is resumed and ends as stored', async () => {
    storePendingTurn('holidays', pending);
    const api = new Server();
    api.rest = [endless(frame('Rome', 1))];
    const { view, conversation, opened } = await page(api);
    const [shown] = view.turns;
    assert.deepEqual([shown.question, shown.turn, shown.replaces], ['Where to?', 'turn_1', 'turn_0']);
    assert.deepEqual([conversation.isBusy, status.textContent, shown.response.text], [true, 'Generating…', 'Rome']);
    const stored = { role: 'assistant', content: 'Rome.', turn: 'turn_1', model: 'sim', ttft_s: 0.5, tokens_per_s: 20 };
    api.stored.holidays = [stored];
    api.rest[0].end(frame('.', 2) + DONE);
    await opened;
    assert.deepEqual([shown.response.state, shown.response.model], ['complete', 'sim']);
    assert.equal(shown.response.pace, 'First token after 500 ms, then 20.0 tokens/s');
    assert.deepEqual([api.questions, pendingTurn('holidays'), status.textContent], [[], null, 'Complete']);
  });

  test('is forgotten if it has ended', async () => {
    storePendingTurn('holidays', { ...pending, id: 'turn_0' });
    const api = new Server();
    api.stored.holidays = KEPT;
    const { view } = await page(api);
    assert.deepEqual([view.history, view.turns, api.followed, pendingTurn('holidays')], [KEPT, [], [], null]);
  });

  test('that was stopped elsewhere is shown as stored', async () => {
    storePendingTurn('holidays', pending);
    const api = new Server();
    api.rest = [endless(frame('Rome', 1))];
    const { view, notice, opened } = await page(api);
    api.stored.holidays = [{ role: 'assistant', content: 'Rome', turn: 'turn_1', status: 'interrupted' }];
    api.rest[0].end(broke('stopped'));
    await opened;
    const { response } = view.turns[0];
    assert.deepEqual([response.text, response.state, response.ends, notice.code], ['Rome', 'interrupted', 1, 'stopped']);
  });

  test('that is unknown restores its question', async () => {
    storePendingTurn('holidays', pending);
    const api = new Server();
    api.rest = [new Failure('not_found', { status: 404 })];
    const { view, notice, conversation } = await page(api);
    assert.deepEqual([view.turns[0].withdrawn, view.edited], [true, [['turn_0', 'Where to?']]]);
    assert.deepEqual([notice.code, conversation.isBusy, placed()], ['response_lost', false, PLACED]);
  });

  test('survives a failed load', async () => {
    storePendingTurn('holidays', pending);
    const api = new Server();
    api.stored.holidays = new Failure('unreachable');
    const { view } = await page(api);
    assert.deepEqual([view.turns, pendingTurn('holidays')], [[], pending]);
  });

  test('can be stopped while its stored part is loaded', async () => {
    storePendingTurn('holidays', pending);
    const api = new Server();
    api.rest = [endless(frame('Rome', 1))];
    const { view, conversation } = await page(api);
    api.stored.holidays = new Promise(() => {});
    api.rest[0].end(frame('.', 2) + DONE);
    await settle();
    assert.equal(conversation.isBusy, true);
    conversation.stop();
    await settle();
    assert.deepEqual([conversation.isBusy, view.turns[0].response.text, view.turns[0].response.state], [false, 'Rome.', 'complete']);
  });

  test('can be stopped and has no speed figures', async () => {
    storePendingTurn('holidays', { ...pending, model: 'big' });
    const api = new Server();
    api.rest = [endless(frame('Rome', 1) + frame('.', 2))];
    const { view, conversation } = await page(api);
    conversation.stop();
    await settle();
    assert.equal(view.turns[0].response.pace, '');
    assert.equal(view.turns[0].response.model, 'big');
    assert.deepEqual([view.turns[0].response.state, api.stopped, pendingTurn('holidays')], ['stopped', ['turn_1'], null]);
  });
});

test('the messages are those of the server', async () => {
  const api = new Server();
  const { conversation } = await page(api);
  api.stored.holidays = KEPT;
  assert.deepEqual(await conversation.messages(), KEPT);
});
