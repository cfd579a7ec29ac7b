/**
 * Locks among the tabs of this browser: Web Locks or, where the browser has none (HTTP from another machine), leases
 * over BroadcastChannel.
 *
 * A tab claims the lease and holds it if no other tab objects within CLAIM_MS. The holder sends heartbeats; without one
 * for LEASE_MS, because its tab was closed or frozen, the others claim it again.
 *
 *   state     event                                     next
 *   claiming  another tab holds or claimed it before    waiting
 *   claiming  no objection for CLAIM_MS                 held
 *   waiting   released, or LEASE_MS without heartbeat   claiming
 *   held      another tab got it before, or the own     over
 *             heartbeat was LEASE_MS late
 *   held      pagehide                                  over
 *   any       the signal is aborted                     over
 */

import { randomHex } from './random.js';

const CLAIM_MS = 150;
const BEAT_MS = 1000;
const LEASE_MS = 4000;

const WEB_LOCK = { isHeld: () => true };

/**
 * Resolves to the lock, which is held until `signal` is aborted; `isHeld()` returns false if it was lost. With
 * `ifAvailable`, resolves to null if another tab has it. Rejects if `signal` is aborted before.
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
    navigator.locks.request(name, ifAvailable ? { ifAvailable } : { signal }, held).catch(reject); // the API forbids both together
  });
}

/** A lock over messages { state, id, sinceMs }: the sender's state, 'over' when it releases the lock. */
class Lease {
  #channel;
  #id = randomHex(8);
  #sinceMs = Date.now(); // time of the first claim: the earliest wins
  #state = 'claiming';
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
    if (ifAvailable) this.#acquire(); // a holder objects
    else this.#claim();
  }

  isHeld() {
    if (this.#state === 'held' && performance.now() - this.#beatMs > LEASE_MS) this.#end(); // this tab was frozen
    return this.#state === 'held';
  }

  #claim() {
    this.#set('claiming', CLAIM_MS, () => this.#acquire());
    this.#send();
  }

  #wait() {
    this.#set('waiting', LEASE_MS, () => this.#claim());
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
    else if (this.#state === 'waiting' && other.state === 'over') this.#claim();
    else if (this.#state === 'over' || other.state === 'over') return;
    else if (other.state === 'held' || this.#isAfter(other)) this.#wait();
    else if (this.#state === 'claiming') this.#send();
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
