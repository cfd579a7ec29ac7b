/**
 * The dashboard's messages for failed requests. The chat page's are in failures.js.
 */

const MESSAGES = {
  offline: 'You are offline.',
  unreachable: 'The server cannot be reached.',
  unexpected: 'Something other than the server responded. A proxy or a sign-in page may be in between.',
  cut: 'The connection was lost.',
  silent: 'The server stopped sending data.',
  shutting_down: 'The server is stopping.',
  origin_not_allowed: 'Without an API key, the dashboard is shown only on the server’s own machine, under its own address.',
  401: 'The dashboard needs an API key.',
  403: 'This key has no access to the dashboard.',
  404: 'This server has no dashboard.',
  429: 'Too many requests.',
  503: 'The server is busy or restarting.',
};

export function messageFor({ code, status, detail }) {
  return MESSAGES[code] ?? MESSAGES[status] ?? (detail ? `The server says: ${detail}` : 'Something went wrong on the server.');
}
