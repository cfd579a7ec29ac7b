/** Locks between tabs without the Web Locks API (locks.js), with fake channels and timers. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';

const [CLAIM_MS, BEAT_MS, LEASE_MS] = [150, 1000, 4000];

const channels = new Set();
let frozen = new Set(); // tabs whose messages and timers are suspended
let tabNow = null; // the tab whose code is running

/** Delivers messages to the other channels of its name at once; to a frozen tab when it is resumed. */
class Channel {
  onmessage = null;

  constructor(name) {
    this.name = name;
    this.tab = tabNow;
    channels.add(this);
  }

  postMessage(data) {
    const copy = structuredClone(data);
    for (const other of channels) {
      if (other === this || other.name !== this.name) continue;
      if (frozen.has(other.tab)) other.tab.postponed.push(() => other.onmessage({ data: copy }));
      else as(other.tab, () => other.onmessage({ data: copy }));
    }
  }

  close() {
    channels.delete(this);
  }
}

function as(tab, act) {
  const before = tabNow;
  tabNow = tab;
  try {
    return act();
  } finally {
    tabNow = before;
  }
}

const put = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
put('BroadcastChannel', Channel);
put('navigator', {});
put('addEventListener', (name, act, { signal }) => {
  const tab = tabNow;
  tab.window.addEventListener(name, () => as(tab, act), { signal });
});
const { acquire } = await import('../../src/tokenfall/web/locks.js');

let nowMs;

beforeEach(() => {
  channels.clear();
  frozen = new Set();
  nowMs = 0;
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  mock.method(performance, 'now', () => nowMs);
  const { setTimeout: later } = globalThis;
  put('setTimeout', (act, ms) => {
    const tab = tabNow;
    return later(() => (frozen.has(tab) ? tab.postponed.push(() => as(tab, act)) : as(tab, act)), ms);
  });
});

afterEach(() => {
  mock.restoreAll();
  mock.timers.reset();
});

async function pass(ms) {
  for (let leftMs = ms; leftMs > 0; leftMs -= 50) {
    nowMs += 50;
    mock.timers.tick(50);
    await null;
  }
}

class Tab {
  window = new EventTarget();
  postponed = [];
  lock = undefined; // undefined while pending
  #controller = new AbortController();

  constructor(options = {}) {
    as(this, () => acquire('stream', { signal: this.#controller.signal, ...options })).then(
      (lock) => (this.lock = lock),
      (error) => (this.error = error),
    );
  }

  get isHolder() {
    return as(this, () => this.lock?.isHeld() ?? false);
  }

  leave() {
    as(this, () => this.#controller.abort());
  }

  freeze() {
    frozen.add(this);
  }

  thaw() {
    frozen.delete(this);
    for (const act of this.postponed.splice(0)) as(this, act);
  }
}

const holders = (tabs) => tabs.map((tab, number) => (tab.isHolder ? number : -1)).filter((number) => number >= 0);
const many = (count) => Array.from({ length: count }, () => new Tab());

describe('without Web Locks', () => {
  test('a single tab acquires the lock after the objection period', async () => {
    const tab = new Tab();
    await pass(CLAIM_MS - 50);
    assert.equal(tab.lock, undefined);
    await pass(50);
    assert.equal(tab.isHolder, true);
  });

  test('one of eight concurrent requests acquires and holds the lock', async () => {
    const tabs = many(8);
    for (let n = 0; n < 40; n += 1) {
      await pass(BEAT_MS / 2);
      assert.equal(holders(tabs).length, 1);
    }
    assert.equal(tabs.filter(({ lock }) => lock !== undefined).length, 1);
  });

  test('a later request waits until the lock is released', async () => {
    const tabs = [new Tab()];
    await pass(CLAIM_MS);
    tabs.push(...many(7));
    await pass(10 * LEASE_MS);
    assert.deepEqual(holders(tabs), [0]);
    assert.equal(tabs[7].lock, undefined);
  });

  for (const [how, end] of [
    ['it is released', (tab) => tab.leave()],
    ['its page is left', (tab) => tab.window.dispatchEvent(new Event('pagehide'))],
  ]) {
    test(`one of the others gets it at once when ${how}`, async () => {
      const tabs = many(8);
      await pass(CLAIM_MS);
      const [first] = holders(tabs);
      end(tabs[first]);
      await pass(CLAIM_MS);
      const [second] = holders(tabs);
      assert.equal(holders(tabs).length, 1);
      assert.notEqual(second, first);
    });
  }

  test('another tab acquires the lock when the lease of a frozen tab expires', async () => {
    const tabs = many(8);
    await pass(CLAIM_MS);
    const [first] = holders(tabs);
    tabs[first].freeze();
    await pass(LEASE_MS + CLAIM_MS);
    const others = tabs.filter((tab) => tab !== tabs[first]);
    assert.equal(holders(others).length, 1);
    tabs[first].thaw();
    assert.equal(tabs[first].isHolder, false);
    await pass(2 * LEASE_MS);
    assert.equal(holders(tabs).length, 1);
  });

  test('a resumed tab has lost the lock before its first timer or message', async () => {
    const tab = new Tab();
    await pass(CLAIM_MS);
    tab.freeze();
    await pass(LEASE_MS + BEAT_MS);
    frozen.delete(tab);
    assert.equal(tab.isHolder, false);
  });

  test('if two tabs acquired the lock, the earlier request keeps it', async () => {
    const first = new Tab({ ifAvailable: true });
    await pass(500);
    const second = new Tab({ ifAvailable: true });
    await pass(50);
    assert.deepEqual(holders([first, second]), [0]);
  });

  test('an aborted wait rejects and does not acquire the lock', async () => {
    const tabs = [new Tab()];
    await pass(CLAIM_MS);
    tabs.push(new Tab());
    tabs[1].leave();
    await pass(50);
    tabs[0].leave();
    await pass(2 * LEASE_MS);
    assert.equal(tabs[1].error.name, 'AbortError');
    assert.deepEqual(holders(tabs), []);
    assert.equal(channels.size, 0);
  });

  test('a request with an aborted signal rejects', async () => {
    const left = AbortSignal.abort();
    await assert.rejects(as(new Tab(), () => acquire('other', { signal: left })), { name: 'AbortError' });
  });
});
