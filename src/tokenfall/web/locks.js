/**
 * Locks among the tabs of this browser, with one interface over Web Locks and, where the browser has none (HTTP from
 * another machine), over messages.
 *
 * Without Web Locks, a tab asks the others and takes the lock if none objects for CLAIM_MS. While it has the lock, it
 * sends a heartbeat; if that stays out for LEASE_MS, because the tab was closed or frozen, the others ask again.
 *
 *   asking   another has the lock or asked before      waiting
 *   asking   CLAIM_MS without that                     held
 *   waiting  released, or LEASE_MS without heartbeat   asking
 *   held     another took it before, or own heartbeat  over
 *            was LEASE_MS late
 *   held     the page is left                          over
 *   any      its signal is aborted                     over
 *
 * It must never know what a lock protects.
 */

import { randomHex } from './random.js';

const CLAIM_MS = 150;
const BEAT_MS = 1000;
const LEASE_MS = 4000;

const WEB_LOCK = { isHeld: () => true };

/**
 * Resolves to the lock, which is kept until `signal` is aborted; `isHeld()` tells whether it still is. With
 * `ifAvailable`, null if another tab has it. Rejects if `signal` is aborted before.
 */
export function acquire(name, { signal, ifAvailable = false }) {
  return navigator.locks ? webLock(name, { signal, ifAvailable }) : new Lease(name, { signal, ifAvailable }).acquired;
}

function webLock(name, { signal, ifAvailable }) {
  return new Promise((resolve, reject) => {
    const held = (lock) => {
      resolve(lock && WEB_LOCK);
      if (lock && !signal.aborted) return new Promise((release) => signal.addEventListener('abort', release));
      return null;
    };
    navigator.locks.request(name, ifAvailable ? { ifAvailable } : { signal }, held).catch(reject); // both are not allowed
  });
}

/** A lock over messages: { state, id, sinceMs }, where `state` is that of the sender, or 'over' when it releases the lock. */
class Lease {
  #channel;
  #id = randomHex(8);
  #sinceMs = Date.now(); // when it was asked for: the earlier tab goes first
  #state = 'asking';
  #timer = 0;
  #beatMs = 0;
  #take;

  constructor(name, { signal, ifAvailable }) {
    this.#channel = new BroadcastChannel(`${name}:lock`);
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    this.acquired = new Promise((resolve, reject) => {
      this.#take = () => resolve(this);
      const leave = () => {
        this.#end();
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave);
      if (signal.aborted) leave();
    });
    addEventListener('pagehide', () => this.#state === 'held' && this.#end(), { signal });
    if (this.#state === 'over') return;
    if (ifAvailable) this.#acquire(); // another that has it objects
    else this.#ask();
  }

  isHeld() {
    if (this.#state === 'held' && performance.now() - this.#beatMs > LEASE_MS) this.#end(); // this tab was frozen
    return this.#state === 'held';
  }

  #ask() {
    this.#set('asking', CLAIM_MS, () => this.#acquire());
    this.#send();
  }

  #wait() {
    this.#set('waiting', LEASE_MS, () => this.#ask());
  }

  #acquire() {
    this.#beatMs = performance.now();
    this.#take();
    this.#beat();
  }

  #beat() {
    if (this.#state === 'held' && !this.isHeld()) return;
    this.#beatMs = performance.now();
    this.#set('held', BEAT_MS, () => this.#beat());
    this.#send();
  }

  #end() {
    if (this.#state === 'over') return;
    const wasWaiting = this.#state === 'waiting';
    this.#set('over');
    if (!wasWaiting) this.#send();
    this.#channel.close();
  }

  #receive(other) {
    if (this.isHeld()) this.#receiveAsHolder(other);
    else if (this.#state === 'waiting' && other.state === 'over') this.#ask();
    else if (this.#state === 'over' || other.state === 'over') return;
    else if (other.state === 'held' || this.#isAfter(other)) this.#wait();
    else if (this.#state === 'asking') this.#send();
  }

  #receiveAsHolder(other) {
    if (other.state === 'held' && this.#isAfter(other)) this.#end();
    else if (other.state !== 'over') this.#send();
  }

  #isAfter({ id, sinceMs }) {
    return sinceMs === this.#sinceMs ? id < this.#id : sinceMs < this.#sinceMs;
  }

  #send() {
    this.#channel.postMessage({ state: this.#state, id: this.#id, sinceMs: this.#sinceMs });
  }

  #set(state, ms = 0, next = null) {
    clearTimeout(this.#timer);
    this.#state = state;
    if (next) this.#timer = setTimeout(next, ms);
  }
}
