/** Keyboard shortcuts, and the document title after an unseen response. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

globalThis.CSS = { supports: () => true };
globalThis.document = { querySelector: () => null };
const { shortcutOf } = await import('../../src/tokenfall/web/shortcuts.js');
const { TabIndicator } = await import('../../src/tokenfall/web/tab_indicator.js');

const ANYWHERE = { isWriting: true, allowsSingleKeys: true };
const OUTSIDE = { isWriting: false, allowsSingleKeys: true };
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
    ['a single key where they are off', pressed('?'), { isWriting: false, allowsSingleKeys: false }],
  ];
  for (const [what, event, where] of OTHERS) {
    test(`is not ${what}`, () => assert.equal(shortcutOf(event, where), undefined));
  }
});

describe('the document title', () => {
  /** A TabIndicator in a tab with this `visibilityState`, and its icon. */
  function inTab(visibilityState) {
    const icon = { href: 'web/icon.svg', getAttribute: () => icon.href };
    const page = Object.assign(new EventTarget(), { title: 'Tokenfall', visibilityState, querySelector: () => icon });
    globalThis.document = page;
    const look = () => {
      page.visibilityState = 'visible';
      page.dispatchEvent(new Event('visibilitychange'));
    };
    return { page, icon, look, indicator: new TabIndicator() };
  }

  test('shows the end of an unseen response until the tab is visible', () => {
    const { page, icon, look, indicator } = inTab('hidden');
    indicator.begin('a');
    indicator.setTitle('Holidays');
    indicator.end('a', 'Complete');
    assert.equal(page.title, '● Complete · Holidays');
    assert.match(icon.href, /^data:image\/svg/);
    indicator.setTitle('Renamed');
    assert.equal(page.title, '● Complete · Renamed');
    look();
    assert.deepEqual([page.title, icon.href], ['Renamed', 'web/icon.svg']);
  });

  test('shows how a response failed', () => {
    const { page, indicator } = inTab('hidden');
    for (const [end, words] of [['The model failed', 'The model failed'], ['', 'Not complete']]) {
      indicator.begin('a');
      indicator.end('a', end);
      assert.equal(page.title, `● ${words} · Tokenfall`);
    }
  });

  test('is unchanged for a seen response, another conversation, or no response', () => {
    const seen = inTab('visible');
    seen.indicator.begin('a');
    seen.indicator.end('a', 'Complete');
    assert.equal(seen.page.title, 'Tokenfall');
    const { page, indicator } = inTab('hidden');
    indicator.end('a', 'Complete');
    indicator.begin('a');
    indicator.end('b', '');
    indicator.end('a', 'Complete');
    assert.equal(page.title, 'Tokenfall');
  });
});
