/**
 * Waiting for time, network or visibility, with an AbortSignal. It must never leave a timer or a listener behind.
 */

/** Settles like `promise`; rejects as soon as `signal` is aborted. */
export function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) {
      abort();
      promise.catch(() => {}); // prevents an unhandled rejection
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Resolves after `ms`, once the browser is online; rejects when `signal` is aborted. */
export async function delay(ms, signal) {
  let timer = 0;
  try {
    await unlessAborted(new Promise((resolve) => (timer = setTimeout(resolve, ms))), signal);
  } finally {
    clearTimeout(timer);
  }
  if (navigator.onLine) return;
  const listening = new AbortController();
  const online = new Promise((resolve) => addEventListener('online', resolve, { once: true, signal: listening.signal }));
  await unlessAborted(online, signal).finally(() => listening.abort());
}

/** Resolves once the page is visible, but after `maxMs` at the latest; rejects when `signal` is aborted. */
export async function whenVisible(signal, maxMs) {
  if (!document.hidden) return;
  const listening = new AbortController();
  let timer = 0;
  const shown = new Promise((resolve) => {
    document.addEventListener('visibilitychange', () => document.hidden || resolve(), { signal: listening.signal });
    timer = setTimeout(resolve, maxMs);
  });
  try {
    await unlessAborted(shown, signal);
  } finally {
    listening.abort();
    clearTimeout(timer);
  }
}

/** Calls `callback` when the page has been hidden for `ms`. Returns a function that cancels it. */
export function whenHidden(ms, callback) {
  let timer = 0;
  const update = () => {
    clearTimeout(timer);
    timer = document.hidden ? setTimeout(callback, ms) : 0;
  };
  document.addEventListener('visibilitychange', update);
  update();
  return () => {
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', update);
  };
}
