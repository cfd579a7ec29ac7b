import assert from 'node:assert/strict';
import { test } from 'node:test';

import { asJSON } from '../../src/tokenfall/web/file_export.js';
import { importedBody } from '../../src/tokenfall/web/file_import.js';

test('an export is sent with its title and messages only', () => {
  const messages = [{ role: 'user', content: 'a' }, { role: 'assistant', content: 'b' }];
  assert.deepEqual(JSON.parse(importedBody(asJSON('chat-1', 'Holidays', messages))), { title: 'Holidays', messages });
});

test('an invalid title is omitted', () => {
  assert.deepEqual(JSON.parse(importedBody('{"title": 3, "messages": []}')), { messages: [] });
});

for (const text of ['', 'no JSON', 'null', '[]', '{}', '{"messages": {}}']) {
  test(`no export: ${JSON.stringify(text)}`, () => assert.throws(() => importedBody(text), { code: 'not_exported' }));
}

test('a conversation is sent up to the limit of the server', () => {
  const exported = (count) => JSON.stringify({ messages: Array.from({ length: count }, () => ({})) });
  assert.equal(JSON.parse(importedBody(exported(1000))).messages.length, 1000);
  assert.throws(() => importedBody(exported(1001)), { code: 'file_too_long' });
});
