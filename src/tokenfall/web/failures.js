/**
 * Errors of requests, and the page's messages for them.
 *
 * It must never return a status number, or the server's text if the page has its own message.
 */

const MESSAGES_BY_STATUS = {
  400: 'The server could not read this message.',
  401: 'This server needs an API key.',
  403: 'This key does not allow that.',
  404: 'The address was not found. Something other than the chat server may have responded.',
  409: 'This conversation was changed elsewhere. Check it, then send again.',
  410: 'This response can no longer be resumed.',
  413: 'This message is too long for the server. Shorten it, then send again.',
  422: 'The server could not use this message.',
  429: 'Too many requests.',
  500: 'Something went wrong on the server.',
  502: 'The model gave no usable response. Try again.',
  503: 'The server is busy or restarting.',
  504: 'The model took too long to respond. Try again.',
};

const MESSAGES_BY_CODE = {
  offline: 'You are offline. Send again when the connection is back.',
  unreachable: 'The server cannot be reached. Check the connection, then try again.',
  unexpected: 'Something other than the chat server responded. A proxy or a sign-in page may be in between.',
  cut: 'The connection was lost before the response was complete.',
  response_lost: 'The connection was lost, and the server no longer has the response.',
  unreadable: 'The response could not be read and is not complete.',
  page: 'Something went wrong on this page. Reload it, then try again.',
  conversation_changed: 'This conversation was changed elsewhere, or the server lost it. Check it, then try again.',
  stopped: 'The response was stopped elsewhere.',
  interrupted: 'The response was interrupted and is not complete.',
  not_exported: 'This file is not a conversation that was exported as JSON.',
  invalid_address: 'This link does not name a conversation. A new one was started.',
  file_too_large: 'This file is too large for the server.',
  file_invalid: 'This file cannot be imported: it was changed after the export, or is damaged.',
  conversation_too_long: 'This conversation is too long for this server.',
  file_too_long: 'This conversation is too long to import. At most 1,000 messages are possible.',
  invalid_request: 'The server could not do this.',
  not_found: 'The server did not find what this needs.',
  simulated_failure: 'The simulator is set to fail here.',
  shutting_down: 'The server is shutting down; the response is not complete.',
  detached_limit: 'The server ended the response while this page was away; it is not complete.',
  turn_lost: 'The server stopped during the response, which is not complete.',
  store_unavailable: 'The server cannot save conversations now. Try again in a moment.',
  upstream_refused: 'The model refused this message.',
  upstream_key_refused: 'The model does not accept the key of this server. Its administrator has to correct that.',
  upstream_rate_limited: 'The model is busy.',
  upstream_unreachable: 'The model cannot be reached. Try again.',
  upstream_untrusted: 'The connection to the model is not secure. The administrator of this server has to correct that.',
  upstream_failed: 'The model failed. Try again.',
  upstream_error: 'The model gave no usable response. Try again.',
  upstream_connect_timeout: 'The model cannot be reached. Try again.',
  upstream_first_token_timeout: 'The model took too long to respond. Try again.',
  upstream_next_token_timeout: 'The model stopped in the middle of the response, which is not complete.',
  upstream_total_timeout: 'The model took too long; the response is not complete.',
  upstream_reset: 'The connection to the model was lost; the response is not complete.',
  upstream_truncated: 'The model stopped before its end; the response is not complete.',
  upstream_malformed: 'The model sent something unreadable; the response is not complete.',
  upstream_stream_error: 'The model failed in the middle of the response, which is not complete.',
};

// Errors whose server message has details that the page cannot know.
const HAS_DETAIL = new Set([400, 403, 422, 'invalid_request', 'not_found', 'conversation_too_long', 'upstream_refused']);
const MAX_DETAIL = 300;
const REPEATED = /^the upstream refused the request: /; // repeats the text for the code

export class Failure extends Error {
  /** @param {string} code the server's error code, or one of MESSAGES_BY_CODE */
  constructor(code, { status = 0, detail = '', requestId = '', retryAfterS = null, resumable = null } = {}) {
    super(code);
    Object.assign(this, { code, status, detail, requestId, retryAfterS, resumable });
  }

  /** For a fetch or a read that threw. */
  static ofNetwork(begun) {
    if (!navigator.onLine) return new Failure('offline');
    return new Failure(begun ? 'cut' : 'unreachable');
  }

  /** For a response other than 2xx; reads its problem details (RFC 9457) if it has any. */
  static async ofResponse(response) {
    const problem = await response.json().catch(() => null);
    return new Failure(asText(problem?.code) || 'http', {
      status: response.status,
      detail: asText(problem?.detail) || asText(problem?.title),
      requestId: asText(problem?.request_id) || response.headers.get('X-Request-Id') || '',
      retryAfterS: secondsOf(response.headers.get('Retry-After')),
    });
  }

  /** For an `error` event of a stream. */
  static ofEvent(error, requestId) {
    const { code, message, resumable = null, retry_after: seconds } = error ?? {};
    const retryAfterS = Number.isFinite(seconds) ? seconds : null;
    return new Failure(asText(code) || 'error', { detail: asText(message), requestId, resumable, retryAfterS });
  }

  /** Whether the administrator may need the request id. */
  get isOfServer() {
    return this.status === 0 || this.status >= 500;
  }

  /** One or two sentences for the user. */
  get text() {
    const own = this.#own;
    const detail = sentence(this.detail.replace(REPEATED, ''));
    const helps = HAS_DETAIL.has(this.code) || HAS_DETAIL.has(this.status);
    if (own) return helps && detail ? `${own} It says: ${detail}` : own;
    return detail ? `${this.#unknown} The server says: ${detail}` : this.#unknown;
  }

  /** The same without the server's details and the advice to try again, and without a full stop: for a note or a title. */
  get reason() {
    return (this.#own ?? this.#unknown).replace(/\.( Try again\.)?$/, '');
  }

  get #own() {
    return MESSAGES_BY_CODE[this.code] ?? MESSAGES_BY_STATUS[this.status];
  }

  get #unknown() {
    return this.status ? 'The server refused.' : 'The response ended early and is not complete.';
  }
}

/** At most MAX_DETAIL characters of `text`, with a full stop if it has no end. */
function sentence(text) {
  if (text.length > MAX_DETAIL) return `${text.slice(0, MAX_DETAIL)}…`;
  return /(^|[.!?])$/.test(text) ? text : `${text}.`;
}

/** Any other error is a defect of the page: it is logged, and the user gets a general message. */
export function asFailure(error) {
  if (error instanceof Failure) return error;
  console.error(error);
  return new Failure('page');
}

/** `response_lost` for a 404 or 410 on resuming: the server no longer has the response. Other failures are unchanged. */
export function asLostResponse(failure) {
  return failure?.status === 404 || failure?.status === 410 ? new Failure('response_lost') : failure;
}

/** `value` if it is a string, else an empty string. */
export function asText(value) {
  return typeof value === 'string' ? value : '';
}

/** Retry-After (RFC 9110, section 10.2.3) in whole seconds from now; null if it is neither a number nor a date. */
export function secondsOf(header, nowMs = Date.now()) {
  if (!header) return null;
  if (/^\d+$/.test(header.trim())) return Number(header);
  const untilMs = /^[A-Za-z]{3}/.test(header) ? Date.parse(header) : NaN; // browsers also parse other texts as dates
  return Number.isNaN(untilMs) ? null : Math.max(0, Math.ceil((untilMs - nowMs) / 1000));
}
