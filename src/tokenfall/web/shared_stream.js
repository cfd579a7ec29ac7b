/**
 * One stream for all tabs of this browser: the tab that holds its lock reads it and broadcasts each item to the others.
 *
 * A browser opens at most six connections to a server, so six tabs with a stream each would block a seventh. It must never
 * broadcast a key, broadcast items to tabs with another key, read without the lock, or hold the lock without reading.
 */

import { delay, unlessAborted } from './abortable.js';
import { Failure } from './failures.js';
import { hashOf } from './hash.js';
import { acquire } from './locks.js';
import { randomHex } from './random.js';

/** A tab waits this long for the lock's holder, which may hang or wait for the user to enter a key. */
const LEADER_TIMEOUT_MS = 5000;

/** The last messages of a tab may arrive this long after it has released the lock. */
const LAST_MESSAGES_MS = 50;

/** The name of a stream, shared by tabs with the same key. The key cannot be derived from it. */
export function nameOf(stream, key) {
  return `tokenfall:${stream}:${hashOf(key)}`;
}

/**
 * Resolves to the items of a stream once a tab reads it: this one, with `read()`, or another.
 *
 * @param options { name(), read(), since(after), after(), signal }: `read` opens the connection and resolves to its items;
 *   `since` returns the items after the item `after`, for a tab that joins later; `after` is the last item of this tab;
 *   `name` is the stream's name. If `read` changes the key, the items are broadcast under the new name
 */
export async function join(options) {
  const member = new Member(options);
  try {
    if (await unlessAborted(member.isBegun(), options.signal)) return member.items(await member.source());
    member.leave();
    return await options.read();
  } catch (error) {
    member.leave();
    throw error;
  }
}

/** The items of a stream that this tab has already opened, broadcast to the others unless one of them reads it. */
export async function* lead({ name, since }, items) {
  const aborter = new AbortController();
  try {
    const lock = await acquire(name(), { signal: aborter.signal, ifAvailable: true });
    if (lock === null) {
      yield* items;
      return;
    }
    const channel = new BroadcastChannel(name());
    aborter.signal.addEventListener('abort', () => channel.close());
    yield* broadcast({ channel, lock, since }, items);
  } finally {
    aborter.abort();
  }
}

/** Sends each item to the other tabs, and the earlier items to tabs that join later. */
async function* broadcast({ channel, lock, since }, items) {
  channel.onmessage = ({ data }) => {
    if (data.from) channel.postMessage({ to: data.from, items: since(data.after) });
  };
  channel.postMessage({ isReady: true });
  for await (const item of items) {
    if (!lock.isHeld()) throw new Failure('cut');
    channel.postMessage({ items: [item] });
    yield item;
  }
  channel.postMessage({ isDone: true });
}

/** This tab as a reader of a shared stream. */
class Member {
  #options;
  #name;
  #channel;
  #aborter = new AbortController();
  #waited = new AbortController();
  #id = randomHex(8);
  #inbox = []; // unprocessed messages
  #wake = () => {};
  #hasJoined = false; // the earlier items have arrived
  #lock = null; // while another tab has it
  #begun; // resolves at the first of these two

  constructor(options) {
    this.#options = options;
    this.#name = options.name();
    this.#channel = new BroadcastChannel(this.#name);
    this.#begun = new Promise((resolve, reject) => {
      this.#channel.onmessage = ({ data }) => this.#receive(data) && resolve();
      acquire(this.#name, { signal: this.#aborter.signal }).then((lock) => {
        this.#lock = lock;
        this.#wake();
        resolve();
      }, reject);
    });
    this.#requestItems();
  }

  /** Resolves to true once a tab reads the stream, to false after LEADER_TIMEOUT_MS. */
  isBegun() {
    const begun = this.#begun.then(() => true);
    const late = delay(LEADER_TIMEOUT_MS, this.#waited.signal).then(() => false);
    return Promise.race([begun, late]).finally(() => this.#waited.abort());
  }

  leave() {
    this.#waited.abort();
    this.#aborter.abort();
    this.#channel.close();
  }

  /** The items if this tab reads the stream; null if another tab does. */
  async source() {
    if (this.#lock === null) return null;
    const items = await unlessAborted(this.#options.read(), this.#options.signal);
    if (this.#options.name() === this.#name) return broadcast({ channel: this.#channel, lock: this.#lock, since: this.#options.since }, items);
    this.leave();
    return lead(this.#options, items);
  }

  async *items(source) {
    try {
      if (source === null) {
        for await (const message of this.#messages()) {
          if (message.isDone) return;
          yield* message.items;
        }
      }
      yield* source ?? (await this.source());
    } finally {
      this.leave();
    }
  }

  /** The messages of the reading tab, until this tab gets the lock. */
  async *#messages() {
    while (this.#lock === null) {
      yield* this.#inbox.splice(0);
      if (this.#inbox.length > 0 || this.#lock !== null) continue;
      await unlessAborted(new Promise((resolve) => (this.#wake = resolve)), this.#options.signal);
    }
    await delay(LAST_MESSAGES_MS, this.#options.signal);
    yield* this.#inbox.splice(0);
  }

  #requestItems() {
    this.#hasJoined = false;
    this.#channel.postMessage({ from: this.#id, after: this.#options.after?.() });
  }

  /** Whether this message has the earlier items, which start the stream. */
  #receive(data) {
    if (data.isReady) this.#requestItems();
    const isReply = data.to === this.#id && !this.#hasJoined;
    if (isReply) this.#hasJoined = true;
    if (isReply || (this.#hasJoined && !data.to && (data.items || data.isDone))) {
      this.#inbox.push(data);
      this.#wake();
    }
    return isReply;
  }
}
