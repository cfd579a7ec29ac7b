/** The only tab of a browser: every lock is free, and nobody receives its messages. */

class Channel {
  postMessage() {}

  close() {}
}

/** The `navigator` of such a tab; makes its `BroadcastChannel` global. */
export function alone() {
  globalThis.BroadcastChannel = Channel;
  return { onLine: true, locks: { request: (name, options, act) => Promise.resolve(act({ name })) } };
}
