/** The session storage of a tab (tab_storage.js), and the pending turns in it (pending_turns.js); each test has a new page and storage. */

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';

const TURN = { id: 'turn_1', question: 'Where to? 🌧\n"', replaces: null };
let pages = 0;

/** A fake sessionStorage. With `full` writes throw, with `forbidden` every access throws. */
class Storage {
  values = new Map();
  full = false;
  forbidden = false;

  getItem(name) {
    this.#check();
    return this.values.get(name) ?? null;
  }

  setItem(name, value) {
    this.#check();
    if (this.full) throw new DOMException('full', 'QuotaExceededError');
    this.values.set(name, String(value));
  }

  removeItem(name) {
    this.#check();
    this.values.delete(name);
  }

  #check() {
    if (this.forbidden) throw new DOMException('forbidden', 'SecurityError');
  }
}

/** The freshly imported modules with this storage; `null` means that the browser has none. */
async function page(storage) {
  if (storage) Object.defineProperty(globalThis, 'sessionStorage', { value: storage, configurable: true });
  else Object.defineProperty(globalThis, 'sessionStorage', { configurable: true, get: () => { throw new DOMException('forbidden', 'SecurityError'); } });
  return import(`../../src/tokenfall/web/tab_storage.js?page=${(pages += 1)}`);
}

afterEach(() => delete globalThis.sessionStorage);

describe('session storage of the tab', () => {
  test('is available after a reload', async () => {
    const storage = new Storage();
    const { writeTab, readTab } = await page(storage);
    writeTab('draft', 'a');
    assert.equal(readTab('draft'), 'a');
    assert.equal((await page(storage)).readTab('draft'), 'a');
    assert.deepEqual([...storage.values], [['tokenfall:draft', 'a']]);
  });

  test('is empty at first', async () => assert.equal((await page(new Storage())).readTab('draft'), ''));

  test('contains the last value', async () => {
    const { writeTab, readTab } = await page(new Storage());
    writeTab('draft', 'a');
    writeTab('draft', 'ab');
    writeTab('key', 'k');
    assert.deepEqual([readTab('draft'), readTab('key')], ['ab', 'k']);
  });

  test('is removed, not stored as empty', async () => {
    const storage = new Storage();
    const { writeTab, readTab } = await page(storage);
    writeTab('key', 'k');
    writeTab('key', '');
    assert.deepEqual([readTab('key'), storage.values.size], ['', 0]);
  });

  for (const [where, storage] of [['is forbidden', () => Object.assign(new Storage(), { forbidden: true })], ['is missing', () => null]]) {
    test(`lives as long as the page where storage ${where}`, async () => {
      const given = storage();
      const { writeTab, readTab } = await page(given);
      assert.equal(readTab('draft'), '');
      writeTab('draft', 'a');
      assert.equal(readTab('draft'), 'a');
      writeTab('draft', '');
      assert.equal(readTab('draft'), '');
      writeTab('draft', 'b');
      assert.equal((await page(given)).readTab('draft'), '');
    });
  }

  test('falls back to memory if storage is full', async () => {
    const { writeTab, readTab } = await page(Object.assign(new Storage(), { full: true }));
    writeTab('draft', 'a');
    assert.equal(readTab('draft'), 'a');
  });

  test('returns the newest value if storage is full and holds an older one', async () => {
    const storage = new Storage();
    const { writeTab, readTab } = await page(storage);
    writeTab('draft', 'old');
    storage.full = true;
    writeTab('draft', 'new');
    assert.equal(readTab('draft'), 'new');
  });

  test('can be removed if storage is full', async () => {
    const storage = new Storage();
    const { writeTab, readTab } = await page(storage);
    writeTab('key', 'k');
    storage.full = true;
    writeTab('key', '');
    assert.deepEqual([readTab('key'), storage.values.size], ['', 0]);
  });
});

describe('the pending turn of a conversation', () => {
  const storage = new Storage();
  Object.defineProperty(globalThis, 'sessionStorage', { value: storage, configurable: true });
  const loaded = import('../../src/tokenfall/web/pending_turns.js');

  const begun = async () => {
    Object.defineProperty(globalThis, 'sessionStorage', { value: storage, configurable: true });
    storage.values.clear();
    return loaded;
  };

  test('is null if none was stored', async () => assert.equal((await begun()).pendingTurn('holidays'), null));

  test('is the one stored for it', async () => {
    const { storePendingTurn, pendingTurn } = await begun();
    storePendingTurn('holidays', TURN);
    assert.deepEqual(pendingTurn('holidays'), TURN);
    assert.equal(pendingTurn('default'), null);
  });

  test('is the one stored last', async () => {
    const { storePendingTurn, pendingTurn } = await begun();
    storePendingTurn('holidays', TURN);
    storePendingTurn('default', { ...TURN, id: 'turn_2' });
    storePendingTurn('holidays', { ...TURN, id: 'turn_3' });
    assert.deepEqual([pendingTurn('holidays').id, pendingTurn('default').id], ['turn_3', 'turn_2']);
    assert.equal(storage.values.size, 2);
  });

  test('is removed', async () => {
    const { storePendingTurn, removePendingTurn, pendingTurn } = await begun();
    storePendingTurn('holidays', TURN);
    storePendingTurn('default', TURN);
    removePendingTurn('holidays');
    removePendingTurn('never begun');
    assert.deepEqual([pendingTurn('holidays'), pendingTurn('default'), storage.values.size], [null, TURN, 1]);
  });

  for (const junk of ['{"id":"turn_1"', 'turn_1', '\0', 'null']) {
    test(`is none where storage holds ${JSON.stringify(junk)}`, async () => {
      const { pendingTurn } = await begun();
      storage.values.set('tokenfall:turn:junk', junk);
      assert.equal(pendingTurn('junk'), null);
    });
  }
});
