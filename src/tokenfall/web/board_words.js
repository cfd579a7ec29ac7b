/**
 * What the board says of a request that failed. It speaks of the server, where the chat's failures.js speaks of messages.
 *
 * It must never show a status number, nor a server's text where it has words of its own.
 */

const WORDS = {
  offline: 'You are offline.',
  unreachable: 'The server cannot be reached.',
  unexpected: 'Something other than the server responded. A proxy or a sign-in page may be in between.',
  cut: 'The connection broke.',
  silent: 'The server fell silent.',
  shutting_down: 'The server is stopping.',
  origin_not_allowed: 'This server tells only pages that are opened under its own address on its own machine.',
  401: 'This server shows its board only to those who have a key.',
  403: 'This key may not see the board.',
  404: 'This server has no board.',
  429: 'Too many requests.',
  503: 'The server is busy or restarting.',
};

export function wordsFor({ code, status, detail }) {
  return WORDS[code] ?? WORDS[status] ?? (detail ? `The server says: ${detail}` : 'Something went wrong on the server.');
}
