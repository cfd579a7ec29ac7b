import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';

import { delay, unlessAborted } from '../../src/tokenfall/web/abortable.js';

const NEVER = new Promise(() => {});
const ENOUGH_MS = 60_000; // longer than any test

const listenersOf = (target, type) => getEventListeners(target, type).length;

/** Whether a promise is settled after all pending callbacks. */
async function isOver(promise) {
  let over = false;
  promise.then(() => (over = true), () => (over = true));
  await settled();
  return over;
}

describe('a promise, unless aborted', () => {
  test('resolves as the promise and removes its listener', async () => {
    const { signal } = new AbortController();
    assert.equal(await unlessAborted(Promise.resolve(7), signal), 7);
    await settled();
    assert.equal(listenersOf(signal, 'abort'), 0);
  });

  test('rejects as the promise and removes its listener', async () => {
    const { signal } = new AbortController();
    await assert.rejects(unlessAborted(Promise.reject(new Error('planted')), signal), /planted/);
    await settled();
    assert.equal(listenersOf(signal, 'abort'), 0);
  });

  test('rejects with the abort reason and removes its listener', async () => {
    const stopper = new AbortController();
    const waiting = unlessAborted(NEVER, stopper.signal);
    assert.equal(await isOver(waiting), false);
    stopper.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    assert.equal(listenersOf(stopper.signal, 'abort'), 0);
  });

  test('rejects at once if the signal is already aborted', async () => {
    const signal = AbortSignal.abort(new Error('before'));
    await assert.rejects(unlessAborted(NEVER, signal), /before/);
    assert.equal(listenersOf(signal, 'abort'), 0);
  });

  test('does not wait if the signal is already aborted', async () => {
    await assert.rejects(unlessAborted(Promise.resolve(7), AbortSignal.abort()), { name: 'AbortError' });
  });

  test('ignores a rejection after the abort', async () => {
    const stopper = new AbortController();
    let fail;
    const waiting = unlessAborted(new Promise((_, reject) => (fail = reject)), stopper.signal);
    stopper.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    fail(new Error('late')); // unhandled, it would end this process
    await settled();
  });
});

describe('a pause', () => {
  const { setTimeout, clearTimeout } = globalThis;
  let timers;

  beforeEach(() => {
    timers = new Map(); // pending timers: [id, [ms, act]]
    let made = 0;
    globalThis.setTimeout = (act, ms) => {
      timers.set((made += 1), [ms, act]);
      return made;
    };
    globalThis.clearTimeout = (id) => timers.delete(id);
  });

  /** Fires all timers. */
  const elapse = () => timers.forEach(([, act]) => act());

  /** A fake browser with an online state and its listeners. */
  function browser(onLine) {
    const window = new EventTarget();
    Object.defineProperty(globalThis, 'navigator', { value: { onLine }, configurable: true, writable: true });
    globalThis.addEventListener = window.addEventListener.bind(window);
    return window;
  }

  afterEach(() => {
    Object.assign(globalThis, { setTimeout, clearTimeout });
    delete globalThis.navigator;
    delete globalThis.addEventListener;
  });

  test('lasts for its duration', async () => {
    browser(true);
    const waiting = delay(250, new AbortController().signal);
    assert.deepEqual([...timers.values()].map(([ms]) => ms), [250]);
    assert.equal(await isOver(waiting), false);
    elapse();
    await waiting;
    assert.equal(timers.size, 0);
  });

  test('ends on abort and clears its timer', async () => {
    browser(true);
    const stopper = new AbortController();
    const waiting = delay(ENOUGH_MS, stopper.signal);
    stopper.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    assert.equal(timers.size, 0);
    assert.equal(listenersOf(stopper.signal, 'abort'), 0);
  });

  test('does not start if the signal is already aborted', async () => {
    const window = browser(false);
    await assert.rejects(delay(ENOUGH_MS, AbortSignal.abort()), { name: 'AbortError' });
    assert.deepEqual([timers.size, listenersOf(window, 'online')], [0, 0]);
  });

  test('lasts until the browser is online', async () => {
    const window = browser(false);
    const { signal } = new AbortController();
    const waiting = delay(0, signal);
    elapse();
    assert.equal(await isOver(waiting), false);
    assert.equal(listenersOf(window, 'online'), 1);
    window.dispatchEvent(new Event('online'));
    await waiting;
    assert.deepEqual([listenersOf(window, 'online'), listenersOf(signal, 'abort')], [0, 0]);
  });

  test('checks whether the browser is online only at its end', async () => {
    const window = browser(false);
    const waiting = delay(250, new AbortController().signal);
    assert.equal(await isOver(waiting), false);
    navigator.onLine = true;
    elapse();
    await waiting;
    assert.equal(listenersOf(window, 'online'), 0);
  });

  test('lasts for its duration if the browser is online again earlier', async () => {
    const window = browser(false);
    const waiting = delay(250, new AbortController().signal);
    navigator.onLine = true;
    window.dispatchEvent(new Event('online'));
    assert.equal(await isOver(waiting), false);
    elapse();
    await waiting;
  });

  test('that waits for the network ends on abort and removes its listener', async () => {
    const window = browser(false);
    const stopper = new AbortController();
    const waiting = delay(0, stopper.signal);
    elapse();
    assert.equal(await isOver(waiting), false);
    stopper.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    await settled();
    assert.deepEqual([listenersOf(window, 'online'), listenersOf(stopper.signal, 'abort')], [0, 0]);
  });
});
