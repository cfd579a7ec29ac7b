/**
 * Promises of a delay, of the network and of visibility, which a signal can abort.
 *
 * It must never leave a timer or a listener behind.
 */

/** `promise`, or the reason of `signal` as soon as it is aborted. */
export function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) {
      abort();
      promise.catch(() => {}); // its failure is not needed any more
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Resolves after `ms` and not before the browser is online; rejects when `signal` is aborted. */
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

/** Resolves once the page is visible, or after `mostMs`; rejects when `signal` is aborted. */
export async function whenVisible(signal, mostMs) {
  if (!document.hidden) return;
  const listening = new AbortController();
  let timer = 0;
  const shown = new Promise((resolve) => {
    document.addEventListener('visibilitychange', () => document.hidden || resolve(), { signal: listening.signal });
    timer = setTimeout(resolve, mostMs);
  });
  try {
    await unlessAborted(shown, signal);
  } finally {
    listening.abort();
    clearTimeout(timer);
  }
}

/** Calls `act` when the page has been hidden for `ms`, unless what is returned has been called before. */
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
