/** The options of a conversation: form fields, bounded local storage, and the request body. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';

import { readDevice, writeDevice } from '../../src/tokenfall/web/device_storage.js';
import { choices } from '../../src/tokenfall/web/model_picker.js';
import { describeOptions, dropOptions, fieldsOf, keyWith, optionsOf, READ, setOptions } from '../../src/tokenfall/web/options.js';

/** A fake localStorage that throws if a value has more than `room` characters. */
function storage(room = Infinity) {
  const kept = new Map();
  const value = {
    kept,
    getItem: (name) => kept.get(name) ?? null,
    removeItem: (name) => kept.delete(name),
    setItem(name, text) {
      if (text.length > room) throw new DOMException('full', 'QuotaExceededError');
      kept.set(name, text);
    },
  };
  Object.defineProperty(globalThis, 'localStorage', { value, configurable: true });
  return kept;
}

let kept;
beforeEach(() => { kept = storage(); });
afterEach(() => { delete globalThis.localStorage; });

describe('stored options', () => {
  test('options are stored for their conversation, and null removes one', () => {
    setOptions('a', { model: 'big', temperature: 0 });
    setOptions('b', { system: 'Be brief.' });
    setOptions('a', { model: null, max_tokens: 9 });
    assert.deepEqual([optionsOf('a'), optionsOf('b'), optionsOf('c')], [{ temperature: 0, max_tokens: 9 }, { system: 'Be brief.' }, {}]);
  });

  test('are removed with the last option or the conversation', () => {
    setOptions('a', { model: 'big' });
    setOptions('b', { model: 'big' });
    setOptions('a', { model: null });
    dropOptions('b');
    dropOptions('c');
    assert.deepEqual([...kept], []);
  });

  test('the hundred conversations that were changed last are kept', () => {
    for (let number = 0; number < 100; number += 1) setOptions(`c-${number}`, { temperature: 1 });
    setOptions('c-0', { temperature: 2 });
    setOptions('c-100', { temperature: 1 });
    assert.deepEqual([optionsOf('c-0'), optionsOf('c-1'), optionsOf('c-100')], [{ temperature: 2 }, {}, { temperature: 1 }]);
  });

  test('are ignored if they cannot be parsed', () => {
    for (const text of ['{', '5', '[1]', '{"a":1}']) {
      kept.set('tokenfall:options', text);
      assert.deepEqual(optionsOf('a'), {}, text);
    }
    setOptions('a', { temperature: 1 });
    assert.deepEqual(optionsOf('a'), { temperature: 1 });
  });

  test('a full storage keeps no older options, and the page remembers the new ones', () => {
    kept = storage(5);
    writeDevice('theme', 'dark');
    writeDevice('theme', 'too long');
    assert.deepEqual([[...kept], readDevice('theme')], [[], 'too long']);
    writeDevice('theme', 'light');
    assert.deepEqual([kept.get('tokenfall:theme'), readDevice('theme')], ['light', 'light']);
  });

  test('unavailable storage is ignored', () => {
    Object.defineProperty(globalThis, 'localStorage', { configurable: true, get: () => { throw new DOMException('forbidden', 'SecurityError'); } });
    writeDevice('theme', 'dark');
    assert.equal(readDevice('theme'), 'dark');
    writeDevice('theme', '');
    assert.equal(readDevice('theme'), '');
  });
});

describe('a field', () => {
  const READS = [
    ['temperature', ' 0.7 ', 0.7],
    ['temperature', '0,7', 0.7],
    ['temperature', '.5', 0.5],
    ['temperature', '2', 2],
    ['temperature', '0', 0],
    ['temperature', ' ', null],
    ['max_tokens', '500', 500],
    ['max_tokens', '1000000', 1_000_000],
    ['max_tokens', '', null],
    ['system', ' Be brief.\n', 'Be brief.'],
    ['system', ' \n', null],
    ['system', 'x'.repeat(8000), 'x'.repeat(8000)],
  ];
  for (const [name, text, value] of READS) {
    test(`${name} expected ${JSON.stringify(text.slice(0, 20))}`, () => assert.deepEqual(READ[name](text), { value }));
  }

  const REFUSES = [
    ...['2.1', '-1', 'warm', '1e0', '0.5.5', '.', '0x1', 'NaN'].map((text) => ['temperature', text, 'A number from 0 to 2, for example 0.7.']),
    ...['0', '1000001', '1.5', '-1', 'many', '9'.repeat(400)].map((text) => ['max_tokens', text, 'A whole number from 1 to 1000000.']),
    ['system', 'x'.repeat(8001), 'At most 8000 characters; this has 8001.'],
  ];
  for (const [name, text, error] of REFUSES) {
    test(`${name} refuses ${JSON.stringify(text.slice(0, 20))}`, () => assert.deepEqual(READ[name](text), { error }));
  }
});

test('a question has the system prompt before it and the other options beside it', () => {
  const question = { role: 'user', content: 'Why?' };
  assert.deepEqual(fieldsOf('Why?', {}), { messages: [question] });
  assert.deepEqual(fieldsOf('Why?', { system: 'Be brief.', model: 'big', temperature: 0, max_tokens: 5 }), {
    messages: [{ role: 'system', content: 'Be brief.' }, question],
    model: 'big',
    temperature: 0,
    max_tokens: 5,
  });
});

test('the idempotency key depends on the options', () => {
  const keys = [{}, { temperature: 1 }, { temperature: 2 }, { temperature: 1 }].map((options) => keyWith('k', options));
  assert.equal(keys[0], 'k');
  assert.match(keys[1], /^k\/[0-9a-f]+$/);
  assert.equal(keys[1], keys[3]);
  assert.equal(new Set(keys).size, 3);
});

test('set options are listed, except the model', () => {
  assert.equal(describeOptions({ model: 'big' }), '');
  assert.equal(describeOptions({ system: 'Be brief.', temperature: 0, max_tokens: 5 }), 'system prompt, temperature 0, limit 5');
});

describe('the list of models', () => {
  const SIM = { model: 'sim', simulated: true, upstream: false, max_tokens: 9 };
  const BIG = { model: 'big', simulated: false, upstream: true, max_tokens: 9 };
  const names = (...given) => choices(...given).map(([group, named]) => [group, named.map(([model]) => model)]);

  test('has only simulated ones without an upstream, the default first', () => {
    const [[group, first], [simulator, others]] = choices('', SIM, []);
    assert.deepEqual([group, first, simulator], ['', [['', 'sim (default)']], 'Simulator']);
    assert.deepEqual(others[0], ['sim:profile=groq-70b', 'sim as groq-70b']);
    assert.ok(others.every(([model]) => model.startsWith('sim:profile=')));
  });

  test('contains the upstream’s models and the simulator', () => {
    const [, models, [, simulated]] = names('', BIG, ['sim', 'big', 'small']);
    assert.deepEqual([models, simulated[0]], [['Models', ['big', 'small']], 'sim']);
  });

  test('has an unnamed default if the server has not set one', () => {
    assert.deepEqual(choices('', { ...BIG, model: '' }, ['big', 'small'])[0], ['', [['', 'Default model']]]);
  });

  test('keeps an unlisted choice, and a choice made before the list is loaded', () => {
    assert.deepEqual(names('gone', BIG, ['big'])[0], ['', ['', 'gone']]);
    assert.deepEqual(choices('gone', null, [])[0], ['', [['', 'Default model'], ['gone', 'gone']]]);
  });
});
