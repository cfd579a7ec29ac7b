import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';

import { Failure, secondsOf } from '../../src/tokenfall/web/failures.js';

const PROBLEM = { 'Content-Type': 'application/problem+json' };

const refused = (status, problem = {}, headers = {}) =>
  Failure.ofResponse(new Response(JSON.stringify(problem), { status, headers: { ...PROBLEM, ...headers } }));

function browser(onLine) {
  Object.defineProperty(globalThis, 'navigator', { value: { onLine }, configurable: true, writable: true });
}

describe('Retry-After', () => {
  const NOW_MS = Date.UTC(2026, 0, 1, 12, 0, 0);
  const WAITS = [
    ['0', 0],
    ['7', 7],
    [' 120 ', 120],
    ['Thu, 01 Jan 2026 12:00:30 GMT', 30],
    ['Thu, 01 Jan 2026 12:00:00 GMT', 0],
    ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
    ['soon', null],
    ['', null],
    [null, null],
    [undefined, null],
  ];
  for (const [header, seconds] of WAITS) {
    test(`${JSON.stringify(header)} is ${seconds}`, () => assert.equal(secondsOf(header, NOW_MS), seconds));
  }

  test('rounds up to full seconds', () => {
    assert.equal(secondsOf('Thu, 01 Jan 2026 12:00:30 GMT', NOW_MS + 1), 30);
    assert.equal(secondsOf('Thu, 01 Jan 2026 12:00:30 GMT', NOW_MS + 29_999), 1);
  });

  test('a date is relative to now', () => {
    const left = secondsOf(new Date(Date.now() + 60_000).toUTCString());
    assert.ok(left > 50 && left <= 60, `${left}`);
  });
});

describe('an error response', () => {
  test('is decoded from its problem document', async () => {
    const problem = { code: 'rate_limited', detail: 'Slow down.', title: 'Too many', request_id: 'r-1' };
    const failure = await refused(429, problem, { 'Retry-After': '3', 'X-Request-Id': 'r-2' });
    const { code, status, detail, requestId, retryAfterS } = failure;
    assert.deepEqual(
      { code, status, detail, requestId, retryAfterS },
      { code: 'rate_limited', status: 429, detail: 'Slow down.', requestId: 'r-1', retryAfterS: 3 },
    );
    assert.ok(failure instanceof Error);
    assert.equal(failure.message, 'rate_limited');
  });

  test('falls back to the title and the header', async () => {
    const { detail, requestId } = await refused(500, { title: 'Oops' }, { 'X-Request-Id': 'r-2' });
    assert.deepEqual([detail, requestId], ['Oops', 'r-2']);
  });

  test('without a body is an error', async () => {
    const { code, status, detail, requestId, retryAfterS } = await refused(418);
    assert.deepEqual([code, status, detail, requestId, retryAfterS], ['http', 418, '', '', null]);
  });

  for (const body of ['', '<html>', '"text"', 'null', '[]', '7', '{"code":1,"detail":{},"title":[],"request_id":null}']) {
    test(`with the body ${body || 'of nothing'} is told by its status`, async () => {
      const failure = await Failure.ofResponse(new Response(body, { status: 502 }));
      assert.deepEqual([failure.code, failure.detail, failure.requestId], ['http', '', '']);
      assert.match(failure.text, /^The model gave no usable response/);
    });
  }

  test('with a truncated body is described by its status', async () => {
    const json = () => Promise.reject(new TypeError('network error'));
    const failure = await Failure.ofResponse({ status: 503, headers: new Headers({ 'Retry-After': '9' }), json });
    assert.deepEqual([failure.code, failure.status, failure.retryAfterS], ['http', 503, 9]);
  });
});

describe('the message', () => {
  for (const status of [400, 401, 403, 404, 409, 410, 413, 422, 429, 500, 502, 503, 504]) {
    test(`for ${status} are the page's own`, async () => {
      const { text } = await refused(status);
      assert.match(text, /^[A-Z][^<]+\.$/);
      assert.doesNotMatch(text, /\d|refused/);
    });
  }

  for (const status of [400, 403, 422]) {
    test(`for ${status} have the server's sentence behind them`, async () => {
      const { text } = await refused(status, { detail: 'No key.' });
      assert.match(text, /^[A-Z].+\. It says: No key\.$/);
    });
  }

  for (const status of [401, 404, 409, 410, 413, 429, 500, 502, 503, 504]) {
    test(`for ${status} leave the server's sentence out`, async () => {
      const { text } = await refused(status, { detail: '<Traceback>' });
      assert.doesNotMatch(text, /Traceback/);
    });
  }

  test('for an unknown status is the server’s, if there is one', async () => {
    assert.equal((await refused(418, { detail: 'A teapot.' })).text, 'The server refused. The server says: A teapot.');
    assert.equal((await refused(418)).text, 'The server refused.');
  });

  test('of the server is limited in length', async () => {
    const { text } = await refused(418, { detail: 'x'.repeat(5000) });
    assert.ok(text.length < 400, `${text.length}`);
    assert.ok(text.endsWith(`: ${'x'.repeat(300)}…`));
  });

  test('of the server ends as a sentence', async () => {
    assert.match((await refused(418, { detail: 'A teapot' })).text, / says: A teapot\.$/);
    assert.match((await refused(418, { detail: 'A teapot?' })).text, / says: A teapot\?$/);
  });

  test('for each code of a broken response says that it is incomplete', () => {
    const codes = ['cut', 'unreadable', 'shutting_down', 'upstream_next_token_timeout', 'upstream_total_timeout'];
    for (const code of [...codes, 'upstream_reset', 'upstream_truncated', 'upstream_malformed']) {
      assert.match(Failure.ofEvent({ code }, '').text, /complete/, code);
    }
  });

  test('for an upstream that does not respond says so', () => {
    const [late, unreachable] = ['first_token_timeout', 'unreachable'].map((code) => Failure.ofEvent({ code: `upstream_${code}` }, '').text);
    assert.equal(late, 'The model took too long to respond. Try again.');
    assert.equal(unreachable, 'The model cannot be reached. Try again.');
  });

  test('for a code takes precedence over that for a status', async () => {
    const known = await refused(503, { code: 'store_unavailable' });
    assert.match(known.text, /cannot save conversations/);
    assert.equal((await refused(503, { code: 'of_another_server' })).text, (await refused(503)).text);
  });

  test('for a note or a title has neither details nor advice', async () => {
    const rejected = await refused(400, { code: 'upstream_refused', detail: 'Too long.' });
    const reasons = [rejected, new Failure('upstream_failed'), new Failure('upstream_reset'), await refused(504)].map(({ reason }) => reason);
    assert.deepEqual(reasons, [
      'The model refused this message',
      'The model failed',
      'The connection to the model was lost; the response is not complete',
      'The model took too long to respond',
    ]);
    assert.equal(new Failure('of_another_server', { detail: 'A teapot.' }).reason, 'The response ended early and is not complete');
    assert.equal((await refused(418, { detail: 'A teapot.' })).reason, 'The server refused');
  });

  test('for a request rejected by the model ends with the server’s message', async () => {
    for (const detail of ['Too long.', 'the upstream refused the request: Too long.']) {
      const { text } = await refused(502, { code: 'upstream_refused', detail });
      assert.match(text, /^[A-Z].+\. It says: Too long\.$/);
    }
  });
});

describe('an error event', () => {
  test('has its code, its message and the request’s id', () => {
    const { code, detail, requestId, status } = Failure.ofEvent({ code: 'upstream_reset', message: 'It broke.' }, 'r-3');
    assert.deepEqual([code, detail, requestId, status], ['upstream_reset', 'It broke.', 'r-3', 0]);
  });

  test('says whether the response can be resumed, if known', () => {
    assert.equal(Failure.ofEvent({ code: 'turn_lost', resumable: false }, '').resumable, false);
    assert.equal(Failure.ofEvent({ code: 'shutting_down', resumable: true }, '').resumable, true);
    assert.equal(Failure.ofEvent({ code: 'shutting_down' }, '').resumable, null);
  });

  test('with an unknown code shows the server’s message', () => {
    const { text } = Failure.ofEvent({ code: 'new', message: 'Odd.' }, '');
    assert.equal(text, 'The response ended early and is not complete. The server says: Odd.');
  });

  for (const error of [undefined, null, 'text', 7, {}, { code: 1, message: [] }]) {
    test(`of ${JSON.stringify(error)} is still one`, () => {
      const failure = Failure.ofEvent(error, 'r-4');
      assert.deepEqual([failure.code, failure.detail, failure.requestId], ['error', '', 'r-4']);
      assert.equal(failure.text, 'The response ended early and is not complete.');
    });
  }
});

describe('a network error', () => {
  afterEach(() => delete globalThis.navigator);

  for (const [onLine, begun, code] of [
    [true, false, 'unreachable'],
    [true, true, 'cut'],
    [false, false, 'offline'],
    [false, true, 'offline'],
  ]) {
    test(`${onLine ? 'online' : 'offline'}, ${begun ? 'within' : 'before'} an answer, is ${code}`, () => {
      browser(onLine);
      const failure = Failure.ofNetwork(begun);
      assert.equal(failure.code, code);
      assert.notEqual(failure.text, '');
    });
  }
});

test('a failure is a server failure if the user cannot resolve it', async () => {
  const statuses = { 400: false, 401: false, 429: false, 499: false, 500: true, 503: true };
  for (const [status, expected] of Object.entries(statuses)) {
    assert.equal((await refused(Number(status))).isOfServer, expected, status);
  }
  assert.equal(new Failure('cut').isOfServer, true);
});
