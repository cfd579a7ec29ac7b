/** The page's API client: the requests that it sends, and its handling of invalid responses. */

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';

import { Api } from '../../src/tokenfall/web/api.js';
import { setOptions } from '../../src/tokenfall/web/options.js';

const QUESTION = { conversation: 'holidays', text: 'Where to?', replaces: null, key: 'k' };
const problem = (status, code) => new Response(JSON.stringify({ code }), { status });
const { fetch: real } = globalThis;

/** An Api with queued responses `answers`, the `requests` that it sent, and the number of key prompts. */
function apiWith(...answers) {
  const made = { requests: [], renewals: 0 };
  globalThis.fetch = async (path, { method = 'GET', headers, body }) => {
    made.requests.push({ path, method, key: headers['Idempotency-Key'], body: body && JSON.parse(body) });
    return answers.shift();
  };
  made.api = new Api({ current: '', renew: async () => { made.renewals += 1; return false; } });
  return made;
}

afterEach(() => { globalThis.fetch = real; });

describe('POST /chat', () => {
  test('is sent with its idempotency key', async () => {
    const { api, requests } = apiWith(new Response('a'));
    const sent = [];
    assert.equal(await (await api.ask({ ...QUESTION, onSend: () => sent.push(requests.length) })).text(), 'a');
    const messages = [{ role: 'user', content: 'Where to?' }];
    const body = { messages, conversation: 'holidays', announce: true, details: true, on_disconnect: 'finish' };
    assert.deepEqual([requests, sent], [[{ path: 'chat', method: 'POST', key: 'k', body }], [0]]);
  });

  test('is repeated without the key if the server does not support it, and later requests have none', async () => {
    const { api, requests } = apiWith(problem(400, 'idempotency_unavailable'), new Response('a'), new Response('b'));
    await api.ask(QUESTION);
    await api.ask({ ...QUESTION, replaces: 'turn_0' });
    assert.deepEqual(requests.map(({ key }) => key), ['k', undefined, undefined]);
    assert.deepEqual(requests[0].body, requests[1].body);
    assert.equal(requests[2].body.replaces, 'turn_0');
  });

  test('is not repeated for any other reason', async () => {
    const { api, requests } = apiWith(problem(422, 'idempotency_mismatch'), new Response('a'));
    await assert.rejects(api.ask(QUESTION), { code: 'idempotency_mismatch', status: 422 });
    assert.equal(requests.length, 1);
  });
});

describe('options', () => {
  const options = { system: 'Be brief.', model: 'big' };

  test('of a question are sent with it and change the request', async () => {
    const { api, requests } = apiWith(new Response('a'), new Response('b'));
    await api.ask({ ...QUESTION, options });
    await api.ask({ ...QUESTION, options: { model: 'small' } });
    const [first, second] = requests;
    assert.deepEqual(first.body.messages.map(({ role, content }) => [role, content]), [['system', 'Be brief.'], ['user', 'Where to?']]);
    assert.deepEqual([first.body.model, second.body.model], ['big', 'small']);
    assert.equal(new Set(['k', first.key, second.key]).size, 3);
  });

  test('of the conversation are sent with each of its questions', async () => {
    const { api, requests } = apiWith(new Response('a'), new Response('b'));
    setOptions('holidays', { temperature: 0.5 });
    await api.ask(QUESTION);
    await api.ask({ ...QUESTION, conversation: 'other' });
    setOptions('holidays', { temperature: null });
    assert.deepEqual(requests.map(({ body }) => body.temperature), [0.5, undefined]);
  });
});

describe('the list of models', () => {
  test('is requested without prompting for a key', async () => {
    const defaults = { model: 'big', simulated: false, upstream: true, max_tokens: 9 };
    const made = apiWith(Response.json(defaults), Response.json({ data: [{ id: 'sim' }, { id: 'big' }] }), problem(401, 'unauthorized'));
    assert.deepEqual([await made.api.defaults(), await made.api.models()], [defaults, ['sim', 'big']]);
    await assert.rejects(made.api.models(), { status: 401 });
    assert.deepEqual([made.requests.map(({ path }) => path), made.renewals], [['chat/defaults', 'v1/models', 'v1/models'], 0]);
  });

  test('is rejected if the document is not a list of models', async () => {
    const { api } = apiWith(new Response('<html>'), Response.json({}));
    await assert.rejects(api.defaults(), { code: 'unexpected' });
    await assert.rejects(api.models(), { code: 'unexpected' });
  });
});

test('following a turn requests announcements and details', async () => {
  const { api, requests } = apiWith(new Response('a'));
  await api.follow({ turn: 'turn_1', after: '3' });
  assert.equal(requests[0].path, 'chat/turns/turn_1?announce=true&details=true');
});

test('the list of conversations does not prompt for a key', async () => {
  const made = apiWith(problem(401, 'unauthorized'), problem(401, 'unauthorized'));
  await assert.rejects(made.api.conversations(), { status: 401 });
  assert.equal(made.renewals, 0);
  await assert.rejects(made.api.history('default'), { status: 401 });
  assert.equal(made.renewals, 1);
});
