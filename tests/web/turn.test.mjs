/** Turns, with a fake server and a fake clock that records each delay and ends it at once. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';

import { Failure } from '../../src/tokenfall/web/failures.js';
import { isResumable, Turn } from '../../src/tokenfall/web/turn.js';
import { singleTab } from './single_tab.mjs';

const LEADER_TIMEOUT_MS = 5000; // as in shared_stream.js
const LOOK_MS = 15_000;
const WAITS_MS = [0, 250, 500, 1000, 2000, 3000, 4000, 4000, 4000, 4000];
const QUESTION = { conversation: 'holidays', question: 'Where to?', replaces: null, key: 'k' };
const LEFT = { ...QUESTION, id: 'turn_1' };
const DONE = 'data: [DONE]\n\n';
const HEAD = { 'Content-Type': 'text/event-stream', 'X-Turn-Id': 'turn_1', 'X-Model': 'sim' };
const TOO_MANY = 60; // limit of requests, which stops an endless turn

const frame = (content, id) => `id: ${id}\ndata: ${JSON.stringify({ content })}\n\n`;
const broke = (code, more = {}) => `event: error\ndata: ${JSON.stringify({ error: { code, ...more } })}\n\n`;
const unreachable = () => new Failure('unreachable');

/** A response that ends after `text`. */
const whole = (text, headers = HEAD) => () => new Response(text, { headers });

/** A response that stays open after `text` until its request is aborted. */
const endless = (text) => ({ signal }) => {
  const body = new ReadableStream({
    start(controller) {
      if (text) controller.enqueue(new TextEncoder().encode(text));
      signal.addEventListener('abort', () => controller.error(signal.reason));
    },
  });
  return new Response(body, { headers: HEAD });
};

/** A promise settled by the test. */
function later() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/** A fake server with queued responses `answers`: functions of the request, promises or errors; the last one is reused. */
class Server {
  questions = [];
  followed = [];
  stopped = [];
  #answers;

  constructor(...answers) {
    this.#answers = answers;
  }

  ask({ onSend, ...question }) {
    this.questions.push(question);
    onSend();
    return this.#answer(question);
  }

  follow(followed) {
    this.followed.push(followed);
    return this.#answer(followed);
  }

  async stop(turn) {
    this.stopped.push(turn);
  }

  get after() {
    return this.followed.map(({ after }) => after);
  }

  async #answer(request) {
    assert.ok(this.questions.length + this.followed.length < TOO_MANY, 'it asks for ever');
    const answer = this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0];
    if (answer instanceof Error) throw answer;
    return typeof answer === 'function' ? answer(request) : answer;
  }
}

/** A turn, with its callbacks in order: id, tokens and connection states. */
function turnOf(server, question = QUESTION, { onToken = () => {} } = {}) {
  const events = [];
  const turn = new Turn(server, question, {
    onSend: () => events.push('send'),
    onBegin: ({ turn: id, model }) => events.push(`begin ${id} ${model}`.trim()),
    onToken: (text) => {
      events.push(`token ${text}`);
      onToken(text);
    },
    onDisconnect: () => events.push('lost'),
    onReconnect: () => events.push('back'),
  });
  return { turn, events };
}

const tokens = (events) => events.filter((one) => one.startsWith('token ')).map((one) => one.slice(6)).join('');

const timing = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
let page; // the document
let waitedMs; // all started delays
let isClockStopped; // whether delays stay pending
let running; // timers
let looks; // remaining polls of a hidden page

beforeEach(() => {
  [waitedMs, isClockStopped, running, looks] = [[], false, new Set(), 0];
  page = Object.assign(new EventTarget(), { hidden: false });
  globalThis.document = page;
  Object.defineProperty(globalThis, 'navigator', { value: singleTab(), configurable: true, writable: true });
  globalThis.setTimeout = (act, ms) => {
    if (ms === LEADER_TIMEOUT_MS) return 0; // the timeout of the lock, which is free here
    if (ms === LOOK_MS && looks-- <= 0) return 0;
    const id = waitedMs.push(ms);
    running.add(id);
    if (!isClockStopped) settled().then(act);
    return id;
  };
  globalThis.clearTimeout = (id) => running.delete(id);
});

afterEach(() => {
  Object.assign(globalThis, timing);
  delete globalThis.navigator;
  delete globalThis.document;
});

function hide(hidden) {
  page.hidden = hidden;
  page.dispatchEvent(new Event('visibilitychange'));
}

async function settle() {
  for (let n = 0; n < 10; n += 1) await settled();
}

describe('a hidden page', () => {
  test('disconnects from a turn and resumes it when visible', async () => {
    const server = new Server(endless(frame('a', 1)), whole(frame('b', 2) + DONE));
    const { turn, events } = turnOf(server);
    const run = turn.run();
    await settle();
    hide(true);
    await settle();
    assert.deepEqual([waitedMs, server.questions[0].signal.aborted, server.followed], [[3000], true, []]);
    hide(false);
    await run;
    assert.deepEqual(events, ['send', 'begin turn_1 sim', 'token a', 'back', 'token b']);
    assert.deepEqual(server.after, ['1']);
  });

  test('polls without a connection until the turn has ended', async () => {
    looks = 3;
    const server = new Server(endless(frame('a', 1)), endless(frame('b', 2)), unreachable(), whole(frame('c', 3) + DONE));
    const { turn, events } = turnOf(server);
    const run = turn.run();
    await settle();
    hide(true);
    await run;
    assert.deepEqual(events, ['send', 'begin turn_1 sim', 'token a', 'back', 'token b', 'lost', 'back', 'token c']);
    assert.deepEqual(server.after, ['1', '2', '2']);
    assert.deepEqual(waitedMs.filter((ms) => ms > 0), [3000, LOOK_MS, 1000, LOOK_MS, LOOK_MS, 1000]);
  });

  test('keeps its turn while the server is unreachable', async () => {
    looks = 30;
    const server = new Server(endless(frame('a', 1)), ...Array.from({ length: 30 }, unreachable), whole(DONE));
    const { turn } = turnOf(server);
    const run = turn.run();
    await settle();
    hide(true);
    for (let n = 0; n < 60; n += 1) await settle();
    assert.equal(server.after.length, 30);
    hide(false);
    await run;
  });

  test('that is hidden briefly keeps its connection', async () => {
    isClockStopped = true;
    const server = new Server(endless(frame('a', 1)));
    const { turn } = turnOf(server);
    const run = turn.run();
    await settle();
    hide(true);
    hide(false);
    assert.deepEqual([running.size, server.questions[0].signal.aborted], [0, false]);
    await turn.leave();
    await assert.rejects(run, { name: 'AbortError' });
  });

  test('can be aborted', async () => {
    const { turn } = turnOf(new Server(endless(frame('a', 1))));
    const run = turn.run();
    await settle();
    hide(true);
    await settle();
    await turn.leave();
    await assert.rejects(run, { name: 'AbortError' });
  });
});

test('a token is delivered once', async () => {
  const server = new Server(whole(frame('a', 1)), whole(frame('a', 1) + frame('b', 2) + DONE));
  const { turn, events } = turnOf(server);
  await turn.run();
  assert.equal(tokens(events), 'ab');
});

test('a turn without a model name is new, unless its request was repeated', async () => {
  const head = { ...HEAD };
  delete head['X-Model'];
  for (const isRepeated of [false, true]) {
    const { turn } = turnOf(new Server(whole(frame('Rome', 1) + DONE, head)), { ...QUESTION, isRepeated });
    await turn.run();
    assert.equal(turn.isResumed, isRepeated);
  }
});

describe('a requested turn', () => {
  test('is requested once and delivered in order to its end', async () => {
    const server = new Server(whole(frame('Large', 1) + frame(' words', 2) + DONE));
    const { turn, events } = turnOf(server, { ...QUESTION, replaces: 'turn_0' });
    await turn.run();
    assert.deepEqual(events, ['send', 'begin turn_1 sim', 'token Large', 'token  words']);
    const [{ signal, ...question }] = server.questions;
    assert.deepEqual(question, { conversation: 'holidays', text: 'Where to?', replaces: 'turn_0', key: 'k' });
    assert.equal(signal.aborted, false);
    assert.deepEqual([server.questions.length, server.followed, server.stopped, waitedMs], [1, [], [], []]);
  });

  test('has its id when the response head arrives', async () => {
    const { turn, events } = turnOf(new Server(endless('')));
    const run = turn.run();
    assert.deepEqual([turn.id, turn.question, turn.isResumed, turn.isOver], ['', 'Where to?', false, false]);
    await settled();
    assert.deepEqual([turn.id, turn.isResumed, events], ['turn_1', false, ['send', 'begin turn_1 sim']]);
    await turn.leave();
    await assert.rejects(run, { name: 'AbortError' });
  });

  test('may have neither turn id nor model', async () => {
    const { turn, events } = turnOf(new Server(whole(frame('a', 1) + DONE, { 'Content-Type': 'text/event-stream' })));
    await turn.run();
    assert.deepEqual(events, ['send', 'begin', 'token a']);
  });

  test('fails with the error of the request', async () => {
    const server = new Server(new Failure('body_too_large', { status: 413 }));
    const { turn, events } = turnOf(server);
    await assert.rejects(turn.run(), { code: 'body_too_large' });
    assert.deepEqual([events, server.questions.length, server.followed], [['send'], 1, []]);
  });

  test('is not repeated after a network error, because the server may have received it', async () => {
    const server = new Server(unreachable());
    await assert.rejects(turnOf(server).turn.run(), { code: 'unreachable' });
    assert.deepEqual([server.questions.length, server.followed, waitedMs], [1, [], []]);
  });

  test('does not deliver an empty token', async () => {
    const { turn, events } = turnOf(new Server(whole(frame('', 1) + frame('a', 2) + DONE)));
    await turn.run();
    assert.deepEqual(events, ['send', 'begin turn_1 sim', 'token a']);
  });

  test('ends with the error event of its stream', async () => {
    const server = new Server(whole(frame('a', 1) + broke('upstream_reset') + DONE));
    await assert.rejects(turnOf(server).turn.run(), { code: 'upstream_reset' });
    assert.deepEqual([server.followed, waitedMs], [[], []]);
  });

  test('is not followed without a turn id', async () => {
    const server = new Server(whole(frame('a', 1), { 'Content-Type': 'text/event-stream' }));
    await assert.rejects(turnOf(server).turn.run(), { code: 'cut' });
    assert.deepEqual(server.followed, []);
  });
});

describe('a replacing turn', () => {
  const changed = () => new Failure('conversation_changed', { status: 409 });
  const question = { ...QUESTION, replaces: 'turn_0' };
  const replaced = (server) => server.questions.map(({ replaces }) => replaces);

  test('is requested without `replaces` if the replaced turn may be missing', async () => {
    const server = new Server(changed(), whole(frame('a', 1) + DONE));
    const { turn, events } = turnOf(server, { ...question, fallback: null });
    await turn.run();
    assert.deepEqual(replaced(server), ['turn_0', null]);
    assert.deepEqual(server.questions.map(({ key }) => key), ['k', 'k/fallback']); // one key, one request
    assert.deepEqual(events, ['send', 'send', 'begin turn_1 sim', 'token a']);
  });

  test('is not repeated if the replaced turn should exist', async () => {
    const server = new Server(changed(), whole(DONE));
    await assert.rejects(turnOf(server, question).turn.run(), { code: 'conversation_changed' });
    assert.deepEqual(replaced(server), ['turn_0']);
  });

  test('is not repeated for any other reason', async () => {
    const server = new Server(new Failure('body_too_large'), whole(DONE));
    await assert.rejects(turnOf(server, { ...question, fallback: null }).turn.run(), { code: 'body_too_large' });
    assert.deepEqual(replaced(server), ['turn_0']);
  });

  test('is requested without `replaces` once', async () => {
    const server = new Server(changed());
    await assert.rejects(turnOf(server, { ...question, fallback: null }).turn.run(), { code: 'conversation_changed' });
    assert.deepEqual(replaced(server), ['turn_0', null]);
  });
});

describe('a broken connection', () => {
  test('resumes after the last token at once', async () => {
    const server = new Server(whole(frame('a', 1) + frame('b', 2)), whole(frame('c', 3) + DONE));
    const { turn, events } = turnOf(server);
    await turn.run();
    assert.deepEqual(events, ['send', 'begin turn_1 sim', 'token a', 'token b', 'lost', 'back', 'token c']);
    assert.deepEqual([server.questions.length, server.after, waitedMs], [1, ['2'], [0]]);
    assert.equal(server.followed[0].turn, 'turn_1');
    assert.equal(turn.isResumed, true);
  });

  test('before the first token resumes from the start', async () => {
    const server = new Server(whole(': ping\n\n'), whole(frame('a', 1) + DONE));
    const { turn, events } = turnOf(server);
    await turn.run();
    assert.deepEqual([server.after, tokens(events)], [['0'], 'a']);
  });

  test('within a token resumes after the previous one', async () => {
    const server = new Server(whole(frame('a', 1) + frame('b', 2).slice(0, -2)), whole(frame('b', 2) + DONE));
    const { turn, events } = turnOf(server);
    await turn.run();
    assert.deepEqual([server.after, tokens(events)], [['1'], 'ab']);
  });

  test('between the last token and the end resumes from there', async () => {
    const server = new Server(whole(frame('a', 1)), whole(DONE));
    const { turn, events } = turnOf(server);
    await turn.run();
    assert.deepEqual([server.after, tokens(events)], [['1'], 'a']);
  });

  test('counts an empty token', async () => {
    const server = new Server(whole(frame('a', 1) + frame('', 2)), whole(DONE));
    await turnOf(server).turn.run();
    assert.deepEqual(server.after, ['2']);
  });

  test('keeps its position if an event has no id', async () => {
    const server = new Server(whole(`${frame('a', 1)}id:\ndata: {"content":"b"}\n\n`), whole(DONE));
    await turnOf(server).turn.run();
    assert.deepEqual(server.after, ['1']);
  });

  test('is retried without limit while tokens arrive in between', async () => {
    const answers = Array.from({ length: 30 }, (_, number) => whole(frame(`${number % 10}`, number + 1)));
    const server = new Server(...answers, whole(DONE));
    const { turn, events } = turnOf(server);
    await turn.run();
    assert.equal(tokens(events), '012345678901234567890123456789');
    assert.deepEqual(server.after, Array.from({ length: 30 }, (_, number) => String(number + 1)));
    assert.deepEqual(waitedMs, Array.from({ length: 30 }, () => 0));
  });

  test('is retried with backoff, then fails with the original error', async () => {
    const server = new Server(whole(frame('a', 1)), unreachable());
    const { turn, events } = turnOf(server);
    await assert.rejects(turn.run(), { code: 'cut' });
    assert.deepEqual(waitedMs, WAITS_MS);
    assert.deepEqual(events.slice(3), Array.from(WAITS_MS, () => 'lost'));
    assert.deepEqual(server.after, Array.from(WAITS_MS, () => '1'));
    assert.deepEqual([server.stopped, running.size], [[], 0]);
  });

  test('recovers at any attempt', async () => {
    const missed = Array.from({ length: 9 }, unreachable);
    const server = new Server(whole(frame('a', 1)), ...missed, whole(frame('b', 2) + DONE));
    const { turn, events } = turnOf(server);
    await turn.run();
    assert.deepEqual([tokens(events), waitedMs], ['ab', WAITS_MS]);
  });

  test('restarts the backoff after a token', async () => {
    const server = new Server(
      whole(frame('a', 1)), unreachable(), unreachable(), whole(frame('b', 2)), unreachable(), whole(DONE));
    await turnOf(server).turn.run();
    assert.deepEqual(waitedMs, [0, 250, 500, 0, 250]);
  });

  test('without a token at any attempt fails', async () => {
    const server = new Server(whole(frame('a', 1)), whole(': ping\n\n'));
    await assert.rejects(turnOf(server).turn.run(), { code: 'cut' });
    assert.ok(waitedMs.includes(4000), `waits of ${[...new Set(waitedMs)]} ms`);
  });

  test('fails if a captive portal answers', async () => {
    const server = new Server(whole(frame('a', 1)), whole('<p>Sign in</p>', { 'Content-Type': 'text/html' }));
    await assert.rejects(turnOf(server).turn.run(), (error) => error instanceof Failure);
    assert.ok(waitedMs.includes(4000), `waits of ${[...new Set(waitedMs)]} ms`);
  });

  test('waits for the longer of Retry-After and the backoff', async () => {
    const limited = (retryAfterS) => new Failure('rate_limited', { status: 429, retryAfterS });
    const refusals = [limited(7), limited(0), limited(null), limited(1)];
    const server = new Server(whole(frame('a', 1)), ...refusals, whole(DONE));
    await turnOf(server).turn.run();
    assert.deepEqual(waitedMs, [0, 7000, 500, 1000, 2000]);
  });

  test('waits until the browser is online', async () => {
    navigator.onLine = false;
    const window = new EventTarget();
    globalThis.addEventListener = window.addEventListener.bind(window);
    const server = new Server(whole(frame('a', 1)), whole(DONE));
    const turning = turnOf(server).turn.run();
    for (let times = 0; times < 5; times += 1) await settled();
    assert.deepEqual(server.after, []);
    window.dispatchEvent(new Event('online'));
    await turning;
    assert.deepEqual(server.after, ['1']);
    delete globalThis.addEventListener;
  });

  for (const [code, status] of [['resume_expired', 410], ['not_found', 404], ['unauthorized', 401], ['turn_lost', 503]]) {
    test(`is given up at once where the server says ${code}`, async () => {
      const server = new Server(whole(frame('a', 1)), new Failure(code, { status }));
      await assert.rejects(turnOf(server).turn.run(), { code });
      assert.deepEqual([server.after, waitedMs], [['1'], [0]]);
    });
  }
});

describe('a server shutdown', () => {
  for (const more of [{}, { resumable: true }, { resumable: null }]) {
    test(`is come back to where it says ${JSON.stringify(more)}`, async () => {
      const server = new Server(whole(frame('a', 1) + broke('shutting_down', more)), whole(DONE));
      await turnOf(server).turn.run();
      assert.deepEqual(server.after, ['1']);
    });
  }

  test('is not retried if the turn has ended', async () => {
    const server = new Server(whole(frame('a', 1) + broke('shutting_down', { resumable: false })), whole(DONE));
    await assert.rejects(turnOf(server).turn.run(), { code: 'shutting_down' });
    assert.deepEqual([server.after, waitedMs], [[], []]);
  });

  test('is retried while the server refuses requests', async () => {
    const refused = new Failure('shutting_down', { status: 503, retryAfterS: 6 });
    const server = new Server(whole(frame('a', 1)), refused, unreachable(), whole(DONE));
    await turnOf(server).turn.run();
    assert.deepEqual(waitedMs, [0, 6000, 500]);
  });
});

describe('an error worth a retry', () => {
  const LOST = [
    ['cut'], ['unreachable'], ['offline'], ['overloaded', 503], ['rate_limited', 429], ['unexpected'],
    ['shutting_down', 503], ['http', 502], ['http', 503], ['http', 504],
  ];
  const ENDED = [
    ['http', 500], ['http', 404], ['http', 0], ['lost'], ['unreadable'], ['stopped', 409], ['interrupted', 409],
    ['turn_lost', 503], ['store_unavailable', 503], ['upstream_reset', 502], ['unauthorized', 401], ['page'],
  ];
  for (const [code, status = 0] of LOST) {
    test(`${code} ${status || ''}`, () => assert.equal(isResumable(new Failure(code, { status })), true));
  }
  for (const [code, status = 0] of ENDED) {
    test(`not ${code} ${status || ''}`, () => assert.equal(isResumable(new Failure(code, { status })), false));
  }

  test('is not a defect of the page', () => assert.equal(isResumable(new TypeError('planted')), false));
});

describe('a resumed turn', () => {
  test('is delivered from its start and not requested', async () => {
    const server = new Server(whole(frame('a', 1) + frame('b', 2) + DONE));
    const { turn, events } = turnOf(server, LEFT);
    assert.equal(turn.isResumed, true);
    await turn.run();
    assert.deepEqual(events, ['back', 'token a', 'token b']);
    assert.deepEqual([server.questions, server.after, waitedMs], [[], ['0'], [0]]);
  });

  test('fails after the same number of attempts', async () => {
    const server = new Server(unreachable());
    const { turn, events } = turnOf(server, LEFT);
    await assert.rejects(turn.run(), { code: 'unreachable' });
    assert.deepEqual([waitedMs, events.length], [WAITS_MS, WAITS_MS.length - 1]);
  });

  test('may no longer exist', async () => {
    const server = new Server(new Failure('not_found', { status: 404 }));
    await assert.rejects(turnOf(server, LEFT).turn.run(), { code: 'not_found' });
    assert.deepEqual([server.after, server.stopped], [['0'], []]);
  });
});

describe('stopping', () => {
  test('after the head ends the turn at once in page and server', async () => {
    const server = new Server(endless(frame('a', 1)));
    const { turn, events } = turnOf(server);
    const run = turn.run();
    await settled();
    const stopped = turn.stop();
    assert.equal(turn.isOver, true);
    await assert.rejects(run, { name: 'AbortError' });
    await stopped;
    assert.equal(server.questions[0].signal.aborted, true);
    assert.deepEqual([server.stopped, server.followed, tokens(events)], [['turn_1'], [], 'a']);
  });

  test('before the head ends it at once in the page, and in the server when its id is known', async () => {
    const head = later();
    const server = new Server(head.promise);
    const { turn, events } = turnOf(server);
    const run = turn.run();
    const stopped = turn.stop();
    await assert.rejects(run, { name: 'AbortError' });
    assert.deepEqual([server.stopped, server.questions[0].signal.aborted], [[], false]);
    head.resolve(whole(frame('a', 1) + DONE)());
    await stopped;
    assert.deepEqual([server.stopped, server.questions[0].signal.aborted, tokens(events)], [['turn_1'], true, '']);
  });

  test('before a failed response sends no stop request', async () => {
    const head = later();
    const server = new Server(head.promise);
    const { turn } = turnOf(server);
    const run = turn.run();
    const stopped = turn.stop();
    await assert.rejects(run, { name: 'AbortError' });
    head.reject(unreachable());
    await stopped;
    assert.deepEqual(server.stopped, []);
  });

  test('before the request sends nothing', async () => {
    const server = new Server(whole(DONE));
    await turnOf(server).turn.stop();
    assert.deepEqual([server.questions, server.stopped], [[], []]);
  });

  test('resolves when the server has ended the turn', async () => {
    const ended = later();
    const server = new Server(endless(frame('a', 1)));
    server.stop = () => ended.promise;
    const { turn } = turnOf(server);
    const run = turn.run();
    await settled();
    let isStopped = false;
    const stopped = turn.stop().then(() => (isStopped = true));
    await assert.rejects(run, { name: 'AbortError' });
    await settled();
    assert.equal(isStopped, false);
    ended.resolve();
    await stopped;
  });

  test('rejects if the server cannot stop the turn', async () => {
    const server = new Server(endless(frame('a', 1)));
    server.stop = () => Promise.reject(unreachable());
    const { turn } = turnOf(server);
    const run = turn.run();
    await settled();
    const stopped = turn.stop();
    await assert.rejects(run, { name: 'AbortError' });
    await assert.rejects(stopped, { code: 'unreachable' });
  });

  test('drops tokens of the same chunk', async () => {
    const server = new Server(endless(frame('a', 1) + frame('b', 2) + DONE));
    const { turn, events } = turnOf(server, QUESTION, { onToken: () => turn.stop() });
    await assert.rejects(turn.run(), { name: 'AbortError' });
    assert.equal(tokens(events), 'a');
  });

  test('during a reconnect ends the delay and the retries', async () => {
    isClockStopped = true;
    const server = new Server(whole(frame('a', 1)), whole(DONE));
    const { turn } = turnOf(server);
    const run = turn.run();
    while (waitedMs.length === 0) await settled();
    const stopped = turn.stop();
    await assert.rejects(run, { name: 'AbortError' });
    await stopped;
    assert.deepEqual([server.followed, server.stopped, running.size], [[], ['turn_1'], 0]);
  });

  test('during a resume request ends the request', async () => {
    const follow = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const server = new Server(whole(frame('a', 1)), follow);
    const { turn, events } = turnOf(server);
    const run = turn.run();
    while (server.followed.length === 0) await settled();
    const stopped = turn.stop();
    await assert.rejects(run, { name: 'AbortError' });
    await stopped;
    assert.deepEqual([server.after, server.stopped, events.includes('back')], [['1'], ['turn_1'], false]);
  });
});

describe('leaving', () => {
  test('closes the connection without stopping the turn', async () => {
    const server = new Server(endless(frame('a', 1)));
    const { turn } = turnOf(server);
    const run = turn.run();
    await settled();
    await turn.leave();
    await assert.rejects(run, { name: 'AbortError' });
    assert.deepEqual([server.questions[0].signal.aborted, server.stopped], [true, []]);
  });

  test('before the head waits for the turn id, for a later resume', async () => {
    const head = later();
    const server = new Server(head.promise);
    const { turn, events } = turnOf(server);
    const run = turn.run();
    const left = turn.leave();
    await assert.rejects(run, { name: 'AbortError' });
    assert.equal(server.questions[0].signal.aborted, false);
    head.resolve(endless('')(server.questions[0]));
    await left;
    assert.deepEqual(events, ['send', 'begin turn_1 sim']);
    assert.deepEqual([turn.id, server.questions[0].signal.aborted, server.stopped], ['turn_1', true, []]);
  });

  test('before a failed response leaves no turn id', async () => {
    const head = later();
    const { turn } = turnOf(new Server(head.promise));
    const run = turn.run();
    const left = turn.leave();
    await assert.rejects(run, { name: 'AbortError' });
    head.reject(unreachable());
    await left;
    assert.equal(turn.id, '');
  });
});
