/**
 * One stream for all tabs of this browser: the tab that holds its lock reads it, and tells the others each item.
 *
 * A browser opens six connections to a server, so that six tabs with a stream each would block a seventh. Where there
 * are no locks, which is over HTTP from another machine, each tab reads for itself. It must never tell a key, tell
 * items to tabs with another key, or keep the lock once nobody reads here.
 */

import { pause, unlessAborted } from './waiting.js';

/** Who has the lock and says nothing for so long waits for a reader's key, or hangs. */
const PATIENCE_MS = 5000;

/** The lock may come before the last message of the tab that had it. */
const LAST_WORDS_MS = 50;

/** The name of a stream among tabs with the same key, which cannot be told from it. */
export function nameOf(stream, key) {
  let hash = 5381;
  for (let at = 0; at < key.length; at += 1) hash = (Math.imul(hash, 33) ^ key.charCodeAt(at)) >>> 0;
  return `tokenfall:${stream}:${hash.toString(36)}`;
}

/**
 * The items of a stream, as soon as there is somebody who reads it: this tab, with `read()`, or another.
 *
 * @param how { name(), read(), since(after), after(), signal }: `read` opens the connection and resolves to what it
 *   says; `since` is what was heard here after the item `after`, for a tab that comes later; `after` is this tab's last;
 *   `name` is the stream's: where the key has become another by reading, it is told under the new name
 */
export async function join(how) {
  if (!navigator.locks) return how.read();
  const member = new Member(how);
  try {
    if (await unlessAborted(member.isBegun(), how.signal)) return member.items(await member.source());
    member.leave();
    return await how.read();
  } catch (error) {
    member.leave();
    throw error;
  }
}

/** The items of a stream that this tab has opened already, told to the others unless one of them reads it. */
export async function* lead({ name, since }, items) {
  const left = new AbortController();
  try {
    const isOurs = navigator.locks && (await lockOf(name(), { ifAvailable: true }, left.signal));
    if (!isOurs) {
      yield* items;
      return;
    }
    const channel = new BroadcastChannel(name());
    left.signal.addEventListener('abort', () => channel.close());
    yield* told(channel, items, since);
  } finally {
    left.abort();
  }
}

/** Tells the others each item, and those that come later what was before. */
async function* told(channel, items, since) {
  channel.onmessage = ({ data }) => {
    if (data.wants) channel.postMessage({ to: data.wants, items: since(data.after) });
  };
  channel.postMessage({ isHere: true });
  for await (const item of items) {
    channel.postMessage({ items: [item] });
    yield item;
  }
  channel.postMessage({ isDone: true });
}

/** Resolves to whether the lock is ours, which it is until `signal` is aborted. */
function lockOf(name, options, signal) {
  return new Promise((resolve, reject) => {
    const held = (lock) => {
      resolve(lock !== null);
      if (lock && !signal.aborted) return new Promise((release) => signal.addEventListener('abort', release));
      return null;
    };
    navigator.locks.request(name, options, held).catch(reject);
  });
}

/** This tab among those that want a stream. */
class Member {
  #how;
  #name;
  #channel;
  #left = new AbortController();
  #waited = new AbortController();
  #id = crypto.getRandomValues(new Uint32Array(2)).join('-');
  #inbox = []; // messages that nobody took
  #wake = () => {};
  #isTold = false; // by a tab that has said what was before
  #isOurs = false; // the lock
  #begun; // one of the two

  constructor(how) {
    this.#how = how;
    this.#name = how.name();
    this.#channel = new BroadcastChannel(this.#name);
    this.#begun = new Promise((resolve, reject) => {
      this.#channel.onmessage = ({ data }) => this.#hear(data) && resolve();
      lockOf(this.#name, { signal: this.#left.signal }, this.#left.signal).then(() => {
        this.#isOurs = true;
        this.#wake();
        resolve();
      }, reject);
    });
    this.#ask();
  }

  /** Whether there is somebody who reads; a tab that has waited long enough reads for itself. */
  isBegun() {
    const begun = this.#begun.then(() => true);
    const late = pause(PATIENCE_MS, this.#waited.signal).then(() => false);
    return Promise.race([begun, late]).finally(() => this.#waited.abort());
  }

  leave() {
    this.#waited.abort();
    this.#left.abort();
    this.#channel.close();
  }

  /** What this tab reads itself; null while another does. */
  async source() {
    if (!this.#isOurs) return null;
    const items = await unlessAborted(this.#how.read(), this.#how.signal);
    if (this.#how.name() === this.#name) return told(this.#channel, items, this.#how.since);
    this.leave();
    return lead(this.#how, items);
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

  /** Until there is nobody any more who tells them. */
  async *#messages() {
    while (!this.#isOurs) {
      yield* this.#inbox.splice(0);
      if (this.#inbox.length > 0 || this.#isOurs) continue;
      await unlessAborted(new Promise((resolve) => (this.#wake = resolve)), this.#how.signal);
    }
    await pause(LAST_WORDS_MS, this.#how.signal);
    yield* this.#inbox.splice(0);
  }

  #ask() {
    this.#isTold = false;
    this.#channel.postMessage({ wants: this.#id, after: this.#how.after?.() });
  }

  /** Whether this makes a beginning. */
  #hear(data) {
    if (data.isHere) this.#ask();
    const isAnswer = data.to === this.#id && !this.#isTold;
    if (isAnswer) this.#isTold = true;
    if (isAnswer || (this.#isTold && !data.to && (data.items || data.isDone))) {
      this.#inbox.push(data);
      this.#wake();
    }
    return isAnswer;
  }
}
