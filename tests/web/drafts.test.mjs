/** The storing of drafts (drafts.js), with fake timers, events and storage. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';

import { Drafts } from '../../src/tokenfall/web/drafts.js';

const WRITE_MS = 300;

let stored; // all written texts by name
let page;

/** The features of `document` and `window` that drafts.js uses. */
class FakePage extends EventTarget {
  hidden = false;

  hide() {
    this.hidden = true;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  stored = [];
  page = new FakePage();
  globalThis.document = page;
  globalThis.addEventListener = page.addEventListener.bind(page);
  const getItem = (name) => stored.findLast(([each]) => each === name)?.[1] ?? null;
  const sessionStorage = { getItem, setItem: (name, text) => stored.push([name, text]), removeItem: () => {} };
  Object.defineProperty(globalThis, 'sessionStorage', { value: sessionStorage, configurable: true });
});

afterEach(() => mock.timers.reset());

describe('typing', () => {
  test('a thousand changes within the interval cause one write of the last text', () => {
    const drafts = new Drafts();
    let text = '';
    for (let n = 0; n < 1000; n += 1) {
      text += 'x';
      drafts.changed('typed', () => text);
    }
    assert.deepEqual(stored, []);
    mock.timers.tick(WRITE_MS);
    assert.deepEqual(stored, [['tokenfall:draft:typed', 'x'.repeat(1000)]]);
  });

  test('continuous changes cause one write per interval', () => {
    const drafts = new Drafts();
    for (let n = 0; n < 90; n += 1) {
      drafts.changed('long', () => `${n}`);
      mock.timers.tick(WRITE_MS / 30);
    }
    assert.deepEqual(stored.map(([, text]) => text), ['29', '59', '89']);
  });
});

describe('pending writes', () => {
  for (const [how, leave] of [
    ['left', () => page.dispatchEvent(new Event('pagehide'))],
    ['hidden', () => page.hide()],
  ]) {
    test(`when the page is ${how}, the text is written at once, and not again later`, () => {
      new Drafts().changed('left', () => 'half written');
      leave();
      assert.deepEqual(stored, [['tokenfall:draft:left', 'half written']]);
      mock.timers.tick(WRITE_MS);
      assert.equal(stored.length, 1);
    });
  }

  test('the text of a conversation is written before that of another is read', () => {
    const drafts = new Drafts();
    drafts.changed('one', () => 'first');
    assert.equal(drafts.of('one'), 'first');
    drafts.changed('one', () => 'second');
    drafts.of('two');
    assert.deepEqual(stored.map(([, text]) => text), ['first', 'second']);
  });

  test('a text that is set replaces one that was typed before it', () => {
    const drafts = new Drafts();
    drafts.changed('sent', () => 'typed');
    drafts.set('sent', 'given back');
    mock.timers.tick(WRITE_MS);
    assert.deepEqual(stored.at(-1), ['tokenfall:draft:sent', 'given back']);
    assert.equal(drafts.of('sent'), 'given back');
  });
});
