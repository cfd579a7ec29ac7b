/** A browser with a single tab: every lock is free, and BroadcastChannel messages have no receiver. */

class Channel {
  postMessage() {}

  close() {}
}

/** Returns the `navigator` of this tab; sets the global `BroadcastChannel`. */
export function singleTab() {
  globalThis.BroadcastChannel = Channel;
  return { onLine: true, locks: { request: (name, options, act) => Promise.resolve(act({ name })) } };
}
