/** A browser with a single tab: every lock is free, and BroadcastChannel messages have no receiver. */

class Channel {
  postMessage() {}

  close() {}
}

/** The `navigator` of such a tab; makes its `BroadcastChannel` global. */
export function alone() {
  globalThis.BroadcastChannel = Channel;
  return { onLine: true, locks: { request: (name, options, act) => Promise.resolve(act({ name })) } };
}
