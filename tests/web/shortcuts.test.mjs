/** Keyboard shortcuts, and the document title after an unseen response. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

globalThis.CSS = { supports: () => true };
globalThis.document = { querySelector: () => null };
const { shortcutOf } = await import('../../src/tokenfall/web/shortcuts.js');
const { Attention } = await import('../../src/tokenfall/web/tab_indicator.js');

const ANYWHERE = { isWriting: true, takesSingleKeys: true };
const OUTSIDE = { isWriting: false, takesSingleKeys: true };
const pressed = (key, more = {}) => ({ key, code: '', ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, isComposing: false, ...more });
const control = { ctrlKey: true, shiftKey: true };

describe('a shortcut', () => {
  const HOLDS = [
    ['begin', pressed('O', { ...control, code: 'KeyO' }), ANYWHERE],
    ['begin', pressed('O', { metaKey: true, shiftKey: true }), ANYWHERE],
    ['begin', pressed('ם', { ...control, code: 'KeyO' }), ANYWHERE], // of a Hebrew keyboard
    ['begin', pressed('O', { ...control, code: 'KeyS' }), ANYWHERE], // of another order of keys
    ['list', pressed('S', control), ANYWHERE],
    ['help', pressed('/', { ctrlKey: true }), ANYWHERE],
    ['help', pressed('?', { shiftKey: true }), OUTSIDE],
    ['write', pressed('/'), OUTSIDE],
  ];
  for (const [name, event, where] of HOLDS) {
    test(`${name} is ${event.key}`, () => assert.equal(shortcutOf(event, where), name));
  }

  const OTHERS = [
    ['a letter', pressed('o'), OUTSIDE],
    ['what is typed', pressed('?', { shiftKey: true }), ANYWHERE],
    ['a slash that is typed', pressed('/'), ANYWHERE],
    ['a key of the browser', pressed('s', { ctrlKey: true }), OUTSIDE],
    ['AltGr', pressed('/', { ctrlKey: true, altKey: true }), OUTSIDE],
    ['what an input method takes', pressed('?', { isComposing: true }), OUTSIDE],
    ['a single key where they are off', pressed('?'), { isWriting: false, takesSingleKeys: false }],
  ];
  for (const [what, event, where] of OTHERS) {
    test(`is not ${what}`, () => assert.equal(shortcutOf(event, where), undefined));
  }
});

describe('the document title', () => {
  /** An Attention in a tab with this `visibilityState`, and its icon. */
  function inTab(visibilityState) {
    const icon = { href: 'web/icon.svg', getAttribute: () => icon.href };
    const page = Object.assign(new EventTarget(), { title: 'Tokenfall', visibilityState, querySelector: () => icon });
    globalThis.document = page;
    const look = () => {
      page.visibilityState = 'visible';
      page.dispatchEvent(new Event('visibilitychange'));
    };
    return { page, icon, look, attention: new Attention() };
  }

  test('shows the end of an unseen response until the tab is visible', () => {
    const { page, icon, look, attention } = inTab('hidden');
    attention.begin('a');
    attention.setTitle('Holidays');
    attention.end('a', 'Complete');
    assert.equal(page.title, '● Complete · Holidays');
    assert.match(icon.href, /^data:image\/svg/);
    attention.setTitle('Renamed');
    assert.equal(page.title, '● Complete · Renamed');
    look();
    assert.deepEqual([page.title, icon.href], ['Renamed', 'web/icon.svg']);
  });

  test('shows that a response failed', () => {
    const { page, attention } = inTab('hidden');
    attention.begin('a');
    attention.end('a', '');
    assert.equal(page.title, '● Not complete · Tokenfall');
  });

  test('is unchanged for a seen response, another conversation, or no response', () => {
    const seen = inTab('visible');
    seen.attention.begin('a');
    seen.attention.end('a', 'Complete');
    assert.equal(seen.page.title, 'Tokenfall');
    const { page, attention } = inTab('hidden');
    attention.end('a', 'Complete');
    attention.begin('a');
    attention.end('b', '');
    attention.end('a', 'Complete');
    assert.equal(page.title, 'Tokenfall');
  });
});
