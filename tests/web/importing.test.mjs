import assert from 'node:assert/strict';
import { test } from 'node:test';

import { asJSON } from '../../src/tokenfall/web/exporting.js';
import { importedBody } from '../../src/tokenfall/web/importing.js';

test('an export is sent with its title and its messages, and nothing else', () => {
  const messages = [{ role: 'user', content: 'a' }, { role: 'assistant', content: 'b' }];
  assert.deepEqual(JSON.parse(importedBody(asJSON('chat-1', 'Holidays', messages))), { title: 'Holidays', messages });
});

test('a title that is none is left out', () => {
  assert.deepEqual(JSON.parse(importedBody('{"title": 3, "messages": []}')), { messages: [] });
});

for (const text of ['', 'no JSON', 'null', '[]', '{}', '{"messages": {}}']) {
  test(`no export: ${JSON.stringify(text)}`, () => assert.throws(() => importedBody(text), { code: 'not_exported' }));
}
