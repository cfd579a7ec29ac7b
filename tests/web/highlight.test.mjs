/** Syntax highlighting: tokens by kind for any split of the source, and the elements of code_block.js. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { Element, installDocument, markup } from './dom.mjs';

installDocument();
const { CodeText } = await import('../../src/tokenfall/web/code_block.js');
const { Highlighter } = await import('../../src/tokenfall/web/highlight.js');

/** The tokens of `parts`, with adjacent tokens of one kind merged: ['keyword:return', ' x']. */
function pieces(language, ...parts) {
  const highlighter = new Highlighter(language);
  const found = [];
  const add = ([kind, text]) => {
    if (found.at(-1)?.[0] === kind) found.at(-1)[1] += text;
    else if (text) found.push([kind, text]);
  };
  for (const part of parts) highlighter.take(part).forEach(add);
  highlighter.take('', true).forEach(add);
  return found.map(([kind, text]) => (kind ? `${kind}:${text}` : text));
}

/** The tokens with a kind. */
const marked = (language, code) => pieces(language, code).filter((piece) => /^(comment|string|number|keyword):/.test(piece));

const CASES = [
  ['js', 'return x1 + 12.5; // done "so"', ['keyword:return', 'number:12', 'number:5', 'comment:// done "so"']],
  ['js', 'a /* b\nif */ c / d', ['comment:/* b\nif */']],
  ['js', '"a\\"b" + \'c\\\\\' + `d\nif ${e}`', ['string:"a\\"b"', 'string:\'c\\\\\'', 'string:`d\nif ${e}`']],
  ['js', 'it = "not closed\nif', ['string:"not closed\n', 'keyword:if']],
  ['js', 'a.if $if if_ iffy if', ['keyword:if']],
  ['JSON', '{"a": true, "b": 0xff}', ['string:"a"', 'keyword:true', 'string:"b"', 'number:0xff']],
  ['python', 'def f(): # no\n  """a "b"\n if"""; x = f\'y\' #z', ['keyword:def', 'comment:# no\n', 'string:"""a "b"\n if"""', 'string:\'y\'', 'comment:#z']],
  ['python', 'x = ""', ['string:""']],
  ['sh', 'echo ${#x} $# a#b; if # yes', ['keyword:if', 'comment:# yes']],
  ['rust', "fn f<'a>(x: &'a str) { \"s\" }", ['keyword:fn', 'string:"s"']],
  ['yaml', "a: don't # so\nb: 'x'", ['comment:# so\n', "string:'x'"]],
  ['sql', "SELECT 1 FROM t -- all\nwhere a = 'b'", ['keyword:SELECT', 'number:1', 'keyword:FROM', 'comment:-- all\n', 'keyword:where', "string:'b'"]],
  ['html', '<p class="a">It\'s <!-- <b> --> if</p>', ['keyword:p', 'string:"a"', 'comment:<!-- <b> -->', 'keyword:p']],
  ['', 'if "a" // 1', []],
  ['text', 'return', []],
  ['constructor', 'return', []],
];

describe('kinds', () => {
  for (const [language, code, expected] of CASES) {
    test(`${language}: ${code}`, () => assert.deepEqual(marked(language, code), expected));
  }
});

test('no split changes a kind or a character, and at most a short word is held back', () => {
  for (const [language, code] of [...CASES, ['js', 'abcdefghijklmnopif 1234567890123456 "x'], ['python', '""""""\'\'\'a\\']]) {
    const whole = pieces(language, code);
    assert.equal(whole.map((piece) => piece.replace(/^(comment|string|number|keyword):/, '')).join(''), code);
    assert.deepEqual(pieces(language, ...code), whole, 'one by one');
    for (let at = 0; at <= code.length; at += 1) {
      assert.deepEqual(pieces(language, code.slice(0, at), code.slice(at)), whole, `at ${at}`);
      const shown = new Highlighter(language).take(code.slice(0, at)).map(([, text]) => text).join('');
      assert.ok(at - shown.length <= 12, `${at - shown.length} held back`);
    }
  }
});

test('run time is linear for any code', () => {
  for (const unit of ['"', "'", '\\', '/', '*', '/*', '"""', '#', 'a', '1', '<', '-', 'if ', '`\n', '"\\']) {
    for (const language of ['js', 'python', 'html', 'sql']) {
      const code = unit.repeat(100_000);
      const start = process.cpuUsage();
      new Highlighter(language).take(code, true);
      const highlighter = new Highlighter(language);
      for (let at = 0; at < code.length; at += 20) highlighter.take(code.slice(at, at + 20));
      const spentMs = process.cpuUsage(start).user / 1000;
      assert.ok(spentMs < 1500, `${JSON.stringify(unit)} in ${language} took ${spentMs} ms`);
    }
  }
});

test('the served module is smaller than 4 KiB', () => {
  const { length } = readFileSync(new URL('../../src/tokenfall/web/highlight.js', import.meta.url)); // as it is served
  assert.ok(length < 4096, `${length} bytes`);
});

describe('a block', () => {
  const drawn = (language, parts) => {
    const body = new Element('code');
    new CodeText(body, { language }).show({ children: parts.map((text) => ({ text })) }, () => false);
    return body;
  };

  test('has an element for each token with a kind', () => {
    const lines = 'if <span class="number">1</span>'.replace('if', '<span class="keyword">if</span>');
    assert.equal(markup(drawn('js', ['if 1'])), `<code><span class="lines">${lines}</span></code>`);
  });

  test('continues a comment in the next part', () => {
    const comment = (text) => `<span class="lines"><span class="comment">${text}</span></span>`;
    assert.equal(markup(drawn('js', ['/* a\n', 'b */'])), `<code>${comment('/* a\n')}${comment('b */')}</code>`);
  });

  test('that is very long is complete and highlighted only at its start', () => {
    const code = 'if (a) 1;\n'.repeat(20_000);
    const body = drawn('js', [code]);
    assert.equal(body.textContent, code);
    assert.equal(body.firstChild.childNodes.filter(({ nodeType }) => nodeType === 1).length, 2 * 5000);
    assert.ok(body.firstChild.lastChild.length > 100_000);
  });
});
