import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';

import { Failure } from '../../src/tokenfall/web/failures.js';
import { describeCount, SearchField } from '../../src/tokenfall/web/search_field.js';

let field, status;

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  field = Object.assign(new EventTarget(), { value: '' });
  status = { textContent: '' };
  globalThis.document = { querySelector: (id) => ({ '#search': field, '#found': status })[id] };
});

afterEach(() => {
  mock.timers.reset();
  delete globalThis.document;
});

/** A search with queued responses `answers`, and its requests. */
function searchingFor(...answers) {
  const made = { requests: [], changes: 0 };
  made.searching = new SearchField({
    search: (words) => { made.requests.push(words); return answers.shift(); },
    change: () => (made.changes += 1),
  });
  return made;
}

function type(text) {
  field.value = text;
  field.dispatchEvent(new Event('input'));
}

async function pass(ms = 250) {
  mock.timers.tick(ms);
  await settled();
}

test('a search is sent after a pause in typing, with trimmed words', async () => {
  const { searching, requests } = searchingFor(Promise.resolve([{ id: 'a' }, { id: 'b' }]));
  type('b');
  await pass(200);
  type(' blue ');
  await pass(200);
  assert.deepEqual([requests, searching.found], [[], null]);
  await pass(50);
  assert.deepEqual([requests, searching.found, status.textContent], [['blue'], new Set(['a', 'b']), '2 conversations found.']);
});

test('a response to outdated words is ignored', async () => {
  let answerLate;
  const late = new Promise((resolve) => (answerLate = resolve));
  const { searching } = searchingFor(late, Promise.resolve([{ id: 'new' }]));
  type('old');
  await pass();
  type('new');
  await pass();
  answerLate([{ id: 'old' }]);
  await pass();
  assert.deepEqual(searching.found, new Set(['new']));
});

test('an empty field sends no search', async () => {
  const made = searchingFor(Promise.resolve([]));
  type('x');
  await pass();
  assert.equal(status.textContent, 'Nothing found.');
  type('  ');
  await pass();
  assert.deepEqual([made.searching.found, status.textContent, made.requests], [null, '', ['x']]);
});

test('Escape clears the field; in an empty field it is not handled', () => {
  searchingFor();
  const escape = () => Object.assign(new Event('keydown', { cancelable: true }), { key: 'Escape' });
  type('x');
  const [first, second] = [escape(), escape()];
  field.dispatchEvent(first);
  field.dispatchEvent(second);
  assert.deepEqual([field.value, first.defaultPrevented, second.defaultPrevented], ['', true, false]);
});

test('a failure shows its message', async () => {
  const { searching } = searchingFor(Promise.reject(new Failure('http', { status: 429 })));
  type('x');
  await pass();
  assert.deepEqual([searching.found, status.textContent], [null, 'Too many requests.']);
});

test('the number of results has a singular and a plural', () => assert.deepEqual([0, 1, 2].map(describeCount), ['Nothing found.', '1 conversation found.', '2 conversations found.']));
