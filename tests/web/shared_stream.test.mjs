/** Streams shared by tabs, with fake locks and channels; each `Tab` is a tab. */

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { setImmediate as turned } from 'node:timers/promises';

/** A fake of the used part of the Web Locks API. */
class Locks {
  #waiting = new Map(); // by name: the requests, of which the first holds the lock

  request(name, { signal, ifAvailable }, act) {
    const queue = this.#waiting.get(name) ?? [];
    this.#waiting.set(name, queue);
    if (ifAvailable && queue.length > 0) return Promise.resolve(act(null));
    return new Promise((resolve, reject) => {
      const entry = { run: () => Promise.resolve(act({ name })).then(resolve, reject).finally(() => this.#leave(queue, entry)) };
      signal?.addEventListener('abort', () => {
        if (queue[0] === entry) return; // it holds the lock
        this.#leave(queue, entry);
        reject(signal.reason);
      });
      queue.push(entry);
      if (queue.length === 1) queueMicrotask(entry.run);
    });
  }

  #leave(queue, entry) {
    const wasFirst = queue[0] === entry;
    queue.splice(queue.indexOf(entry), 1);
    if (wasFirst) queue[0]?.run();
  }
}

const channels = new Set();

/** A fake BroadcastChannel: delivers messages asynchronously. */
class Channel {
  onmessage = null;

  constructor(name) {
    this.name = name;
    channels.add(this);
  }

  postMessage(data) {
    const copy = structuredClone(data);
    for (const other of channels) {
      if (other !== this && other.name === this.name) setImmediate(() => channels.has(other) && other.onmessage?.({ data: copy }));
    }
  }

  close() {
    channels.delete(this);
  }
}

const put = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
put('BroadcastChannel', Channel);
put('navigator', { onLine: true, locks: new Locks() });
const { join, lead, nameOf } = await import('../../src/tokenfall/web/shared_stream.js');

beforeEach(() => {
  channels.clear();
  navigator.locks = new Locks();
});

/** A fake event stream: each connection receives the items after `after`. */
class Stream {
  items = [];
  opened = []; // `after` of each connection
  #wakes = new Set();
  ends = false;

  say(...items) {
    this.items.push(...items);
    for (const wake of this.#wakes) wake();
  }

  end() {
    this.ends = true;
    this.say();
  }

  async *open(after = 0, signal = new AbortController().signal) {
    this.opened.push(after);
    for (let at = after; ; ) {
      while (at < this.items.length) yield this.items[at++];
      if (this.ends) return;
      await new Promise((resolve, reject) => {
        this.#wakes.add(resolve);
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      });
    }
  }
}

class Tab {
  received = [];
  state = 'waiting';
  #controller = new AbortController();

  constructor(stream, { name = () => 'stream', items = null } = {}) {
    const { signal } = this.#controller;
    const how = {
      name,
      signal,
      read: async () => stream.open(this.received.length, signal),
      since: (after) => this.received.slice(after),
      after: () => this.received.length,
    };
    this.done = this.#listen(items ? lead(how, items) : join(how)).catch(() => (this.state = 'left'));
  }

  async #listen(joined) {
    const items = await joined;
    this.state = 'begun';
    for await (const item of items) this.received.push(item);
    this.state = 'done';
  }

  leave() {
    this.#controller.abort();
  }
}

async function settle() {
  for (let n = 0; n < 30; n += 1) await turned();
}

/** The time after which a following tab detects that the reading tab is gone. */
const later = () => new Promise((resolve) => setTimeout(resolve, 100));

describe('tabs', () => {
  test('share one connection, and each receives all events', async () => {
    const stream = new Stream();
    const tabs = [new Tab(stream), new Tab(stream)];
    await settle();
    stream.say('a', 'b');
    await settle();
    tabs.push(new Tab(stream));
    await settle();
    stream.say('c');
    stream.end();
    await later();
    assert.deepEqual(tabs.map(({ received }) => received.join('')), ['abc', 'abc', 'abc']);
    assert.deepEqual(tabs.map(({ state }) => state), ['done', 'done', 'done']);
    assert.deepEqual(stream.opened, [0]);
    assert.equal(channels.size, 0);
  });

  test('continue from their position when the reading tab closes', async () => {
    const stream = new Stream();
    const tabs = [new Tab(stream), new Tab(stream), new Tab(stream)];
    await settle();
    stream.say('a', 'b');
    await settle();
    tabs[0].leave();
    await later();
    stream.say('c');
    await settle();
    tabs[2].leave();
    stream.end();
    await later();
    assert.deepEqual(tabs.map(({ received }) => received.join('')), ['ab', 'abc', 'abc']);
    assert.deepEqual(tabs.map(({ state }) => state), ['left', 'done', 'left']);
    assert.deepEqual(stream.opened, [0, 2]);
  });

  test('follow a turn that another tab requested', async () => {
    const stream = new Stream();
    const asker = new Tab(stream, { items: stream.open() });
    await settle();
    const follower = new Tab(stream);
    await settle();
    stream.say('a');
    await settle();
    assert.deepEqual([asker.received, follower.received, stream.opened], [['a'], ['a'], [0]]);
    asker.leave();
    stream.end();
    await follower.done;
    assert.deepEqual(follower.received, ['a']);
  });

  test('with another key have a separate connection', async () => {
    const stream = new Stream();
    const tabs = ['one', 'two'].map((key) => new Tab(stream, { name: () => nameOf('stream', key) }));
    await settle();
    assert.deepEqual([tabs.map(({ state }) => state), stream.opened], [['begun', 'begun'], [0, 0]]);
    assert.doesNotMatch(nameOf('stream', 'secret'), /secret/);
    tabs.forEach((tab) => tab.leave());
  });

  test('that change the key while reading notify only tabs with the new key', async () => {
    const stream = new Stream();
    let key = 'old';
    const first = new Tab(stream, { name: () => (stream.opened.length > 0 ? (key = 'new') : key) });
    await settle();
    const [old, fresh] = ['old', 'new'].map((name) => new Tab(stream, { name: () => name }));
    stream.say('a');
    await settle();
    assert.deepEqual([first.received, old.received, fresh.received], [['a'], ['a'], ['a']]);
    assert.equal(stream.opened.length, 2);
    [first, old, fresh].forEach((tab) => tab.leave());
  });

  test('wait for a hanging tab for a limited time', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const stream = new Stream();
    navigator.locks.request('stream', {}, () => new Promise(() => {}));
    const tab = new Tab(stream);
    t.mock.timers.tick(4999);
    await settle();
    assert.equal(tab.state, 'waiting');
    t.mock.timers.tick(1);
    await settle();
    assert.equal(tab.state, 'begun');
    tab.leave();
  });
});
