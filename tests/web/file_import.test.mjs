import assert from 'node:assert/strict';
import { test } from 'node:test';

import { asJSON } from '../../src/tokenfall/web/file_export.js';
import { exportedConversation } from '../../src/tokenfall/web/file_import.js';

test('an export is sent with its title and messages only', () => {
  const messages = [{ role: 'user', content: 'a' }, { role: 'assistant', content: 'b' }];
  assert.deepEqual(exportedConversation(asJSON('chat-1', 'Holidays', messages)), { title: 'Holidays', messages });
});

test('an invalid title is omitted', () => {
  assert.deepEqual(exportedConversation('{"title": 3, "messages": []}'), { messages: [] });
});

for (const text of ['', 'no JSON', 'null', '[]', '{}', '{"messages": {}}']) {
  test(`no export: ${JSON.stringify(text)}`, () => assert.throws(() => exportedConversation(text), { code: 'not_exported' }));
}

test('a conversation is sent up to the limit of the server', () => {
  const exported = (count) => JSON.stringify({ messages: Array.from({ length: count }, () => ({})) });
  assert.equal(exportedConversation(exported(1000)).messages.length, 1000);
  assert.throws(() => exportedConversation(exported(1001)), { code: 'file_too_long' });
});
