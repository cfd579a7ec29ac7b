/**
 * Markdown blocks. Trees are compared in a short notation: p(text), h2(text), hr, ul[…], ol[…] or ol5[…] with their
 * items in [], loose ones after +, tasks after !; quote[…], code:language(text), table(header | header)(cell | cell).
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { BlockParser, decidedText } from '../../src/tokenfall/web/markdown.js';
import { parse } from './render_whole.mjs';

const SIDES = { center: '=', right: '>', '': '' };

const SKETCHES = {
  paragraph: ({ text }) => `p(${text})`,
  heading: ({ level, text }) => `h${level}(${text})`,
  rule: () => 'hr',
  quote: ({ children }) => `quote[${sketch(children)}]`,
  list: ({ ordered, start, children }) => `${ordered ? 'ol' : 'ul'}${start === 1 ? '' : start}[${sketch(children)}]`,
  item: ({ loose, task, children }) => `${loose ? '+' : ''}${task ? '!' : ''}[${sketch(children)}]`,
  code: ({ language, children }) => `code:${language}(${children.map(({ text }) => text).join('')})`,
  table: ({ header, children }) => `table(${header.map(cell).join(' | ')})${sketch(children)}`,
  row: ({ children }) => `(${children.map(cell).join(' | ')})`,
};

const cell = ({ align, text }) => SIDES[align] + text;
const sketch = (nodes) => nodes.map((node) => SKETCHES[node.type](node)).join('');
const parsed = (text) => sketch(parse(text));

const CASES = {
  'nothing': [['', ''], ['\n\n \n\t\n', '']],
  'paragraphs': [
    ['a', 'p(a)'], ['a\nb', 'p(a\nb)'], ['a\n\nb', 'p(a)p(b)'], ['a\n \t\nb\n', 'p(a)p(b)'], ['  a\n\tb', 'p(a\nb)'],
    ['a  \nb\\\nc', 'p(a  \nb\\\nc)'],
    ['    a', 'p(a)'], ['\ta', 'p(a)'], ['a\n===', 'p(a\n===)'], ['a\n---', 'p(a)hr'], ['<div>\n*a*', 'p(<div>\n*a*)'],
  ],
  'line ends of all kinds': [
    ['a\r\nb\r\n\r\nc', 'p(a\nb)p(c)'],
    ['```\r\na\r\n```\r\nb', 'code:(a)p(b)'], ['- a\r\n- b\r\n', 'ul[[p(a)][p(b)]]'],
  ],
  'a null is not passed on': [['a\0b', 'p(a\ufffdb)'], ['```\0\n\0', 'code:\ufffd(\ufffd)']],
  'headings': [
    ['# a', 'h1(a)'], ['###### a', 'h6(a)'], ['####### a', 'p(####### a)'], ['#a', 'p(#a)'], ['#', 'h1()'],
    ['## ', 'h2()'], ['#\ta', 'h1(a)'], ['  ## a', 'h2(a)'],
    ['# a #', 'h1(a)'], ['# a ##  ', 'h1(a)'], ['# C#', 'h1(C#)'], ['# #', 'h1()'], ['# a # b', 'h1(a # b)'],
    ['# a\nb', 'h1(a)p(b)'], ['a\n# b', 'p(a)h1(b)'],
  ],
  'rules': [
    ['---', 'hr'], ['***', 'hr'], ['___', 'hr'], ['- - -', 'hr'], ['*  *  *  ', 'hr'], ['----------', 'hr'],
    ['--', 'p(--)'], ['-*-', 'p(-*-)'], ['---a', 'p(---a)'],
    ['a\n***\nb', 'p(a)hrp(b)'], ['- a\n***\n- b', 'ul[[p(a)]]hrul[[p(b)]]'], ['- - -\n- a', 'hrul[[p(a)]]'],
  ],
  'lists': [
    ['- a\n- b', 'ul[[p(a)][p(b)]]'], ['* a', 'ul[[p(a)]]'], ['+ a', 'ul[[p(a)]]'], ['1. a\n2. b', 'ol[[p(a)][p(b)]]'],
    ['1) a', 'ol[[p(a)]]'], ['7. a\n7. b', 'ol7[[p(a)][p(b)]]'],
    ['0. a', 'ol0[[p(a)]]'], ['1234567890. a', 'p(1234567890. a)'], ['-a', 'p(-a)'], ['1.a', 'p(1.a)'],
    ['- a\n* b', 'ul[[p(a)]]ul[[p(b)]]'], ['1. a\n1) b', 'ol[[p(a)]]ol[[p(b)]]'],
    ['- a\n1. b', 'ul[[p(a)]]ol[[p(b)]]'], ['- a\nb', 'ul[[p(a\nb)]]'], ['- a\n\nb', 'ul[[p(a)]]p(b)'],
    ['- a\n\n  b', 'ul[[p(a)p(b)]]'], ['-\n  a', 'ul[[p(a)]]'], ['-\n\n  a', 'ul[[]]p(a)'],
    ['-', 'ul[[]]'], ['- \n- a', 'ul[[][p(a)]]'], ['-     a\n  b', 'ul[[p(a\nb)]]'], ['-\ta\n\n\tb', 'ul[[p(a)p(b)]]'],
    ['- # a\n- > b', 'ul[[h1(a)][quote[p(b)]]]'], ['- a\n# b', 'ul[[p(a)]]h1(b)'],
  ],
  'loose items': [
    ['- a\n\n- b\n- c', 'ul[[p(a)]+[p(b)][p(c)]]'], ['- a\n- b\n\n\n- c', 'ul[[p(a)][p(b)]+[p(c)]]'],
    ['\n- a', 'ul[[p(a)]]'], ['- a\n  - b\n\n- c', 'ul[[p(a)ul[[p(b)]]]+[p(c)]]'],
    ['- ```\n\n  ```\n- a', 'ul[[code:()][p(a)]]'],
  ],
  'lists in lists': [
    ['- a\n  - b\n    - c\n- d', 'ul[[p(a)ul[[p(b)ul[[p(c)]]]]][p(d)]]'],
    ['1. a\n   - b\n2. c', 'ol[[p(a)ul[[p(b)]]][p(c)]]'], ['1. a\n  - b\n2. c', 'ol[[p(a)]]ul[[p(b)]]ol2[[p(c)]]'],
    ['- a\n\t- b', 'ul[[p(a)ul[[p(b)]]]]'], ['- a\n        - b', 'ul[[p(a)ul[[p(b)]]]]'],
    ['- - a\n  - b', 'ul[[ul[[p(a)][p(b)]]]]'], ['- 1. a\n  2. b', 'ul[[ol[[p(a)][p(b)]]]]'],
    ['* a\n * b\n  * c', 'ul[[p(a)][p(b)][p(c)]]'],
  ],
  'what a paragraph does not end for': [
    ['a\n2. b', 'p(a\n2. b)'], ['a\n1. b', 'p(a)ol[[p(b)]]'], ['a\n-', 'p(a\n-)'], ['a\n- b', 'p(a)ul[[p(b)]]'],
    ['a\n1986. A great year', 'p(a\n1986. A great year)'],
    ['- a\n  2. b', 'ul[[p(a\n2. b)]]'],
  ],
  'tasks': [
    ['- [ ] a\n- [x] b\n- [X] c', 'ul[![p(☐ a)]![p(☑ b)]![p(☑ c)]]'], ['1. [x] a', 'ol[![p(☑ a)]]'],
    ['- [y] a', 'ul[[p([y] a)]]'], ['- [x]a', 'ul[[p([x]a)]]'], ['- [x]', 'ul[[p([x])]]'],
    ['[x] a', 'p([x] a)'],
  ],
  'quotes': [
    ['> a', 'quote[p(a)]'], ['>a\n>b', 'quote[p(a\nb)]'], ['> a\nb', 'quote[p(a\nb)]'],
    ['> a\n\nb', 'quote[p(a)]p(b)'], ['> a\n\n> b', 'quote[p(a)]quote[p(b)]'], ['> a\n>\n> b', 'quote[p(a)p(b)]'],
    ['>', 'quote[]'], ['> > a\n> b', 'quote[quote[p(a\nb)]]'], ['>> a\n>\n> b', 'quote[quote[p(a)]p(b)]'],
    ['> - a\n> - b', 'quote[ul[[p(a)][p(b)]]]'], ['- > a\n  > b', 'ul[[quote[p(a\nb)]]]'],
    ['a\n> b', 'p(a)quote[p(b)]'], ['> a\n- b', 'quote[p(a)]ul[[p(b)]]'], ['> ```\n> a\nb', 'quote[code:(a)]p(b)'],
  ],
  'code': [
    ['```\na\n```', 'code:(a)'], ['~~~\na\n~~~', 'code:(a)'], ['```py\na\n\n b\n```\nc', 'code:py(a\n\n b)p(c)'],
    ['``` js title="x"\na', 'code:js(a)'], ['```\n```', 'code:()'], ['```\n\n```', 'code:()'],
    ['```\na', 'code:(a)'], ['```\na\n\n', 'code:(a\n)'], ['````\n```\n````', 'code:(```)'],
    ['```\n~~~\n```', 'code:(~~~)'], ['```\na\n`````', 'code:(a)'], ['```\n``` a\n```', 'code:(``` a)'],
    ['``` a`b\nc', 'p(``` a`b\nc)'], ['~~~ a`b\nc', 'code:a`b(c)'], ['a\n```\nb\n```', 'p(a)code:(b)'],
    ['  ```\n  a\n    b\n c\n  ```', 'code:(a\n  b\nc)'], ['```\n# a\n- b\n> c', 'code:(# a\n- b\n> c)'],
    ['```\n\ta\n```', 'code:(\ta)'], ['```"><img onerror=alert(1)>\na', 'code:"><img(a)'],
    ['```\n     ```\n```', 'code:(     ```)'],
  ],
  'code in lists': [
    ['- ```\n  a\n  ```\n- b', 'ul[[code:(a)][p(b)]]'],
    ['1. a\n   ```make\n   b:\n   \tc\n   ```\n2. d', 'ol[[p(a)code:make(b:\n\tc)][p(d)]]'],
    ['- a\n  ```\n\n  b\n  ```', 'ul[[p(a)code:(\nb)]]'],
    ['1. a\n   ```py\nb = 1\n  c\n   ```\n2. d', 'ol[[p(a)code:py(b = 1\nc)][p(d)]]'],
    ['- a\n\n  ```\n- b\n  ```\n- c', 'ul[[p(a)code:(- b)][p(c)]]'],
    ['- a\n```\nb\n```\n- c', 'ul[[p(a)]]code:(b)ul[[p(c)]]'],
  ],
  'tables': [
    ['| a | b |\n|---|---|\n| c | d |', 'table(a | b)(c | d)'],
    ['|a|b|\n|:-|-:|\n|c|d|\n|e|f|', 'table(a | >b)(c | >d)(e | >f)'], ['| a |\n| :---: |', 'table(=a)'],
    ['| a |\n|---| \t\n| b |', 'table(a)(b)'],
    ['a | b\n- | -\n', 'p(a | b)ul[[p(| -)]]'], ['a | b\n--- | ---\nc | d\ne', 'table(a | b)(c | d)(e)'],
    ['| a | b |\n|---|---|\n| c |', 'table(a | b)(c)'], ['| a |\n|---|\n| b | c |', 'table(a)(b)'],
    ['| a \\| b | `c\\|d` |\n|---|---|', 'table(a | b | `c|d`)'],
    ['| a | |\n|---|---|\n| | b |\n||c|', 'table(a | )( | b)( | c)'], ['| a |\n|---|\n|', 'table(a)()'],
    ['| a |\n|---|\n\n| b |', 'table(a)p(| b |)'],
    ['| a |\n|---|\nb', 'table(a)p(b)'], ['| a |\n|---|\n# b', 'table(a)h1(b)'],
    ['| a |\n|---|\n- b', 'table(a)ul[[p(b)]]'], ['a:\n| b |\n|---|\n| c |', 'p(a:)table(b)(c)'],
    ['| a | b |\n|---|', 'p(| a | b |\n|---|)'],
    ['| a |\n| --- | --- |', 'p(| a |\n| --- | --- |)'], ['a\n|---|', 'p(a\n|---|)'], ['| a |', 'p(| a |)'],
    ['| a |\n|--x|', 'p(| a |\n|--x|)'], ['- | a |\n  |---|\n  | b |', 'ul[[table(a)(b)]]'],
    ['> | a |\n> |---|\n> | b |\nc', 'quote[table(a)(b)]p(c)'], ['> | a |\n|---|', 'quote[p(| a |\n|---|)]'],
    ['|a|\n|-|\n|b|\n|-|\n', 'table(a)(b)(-)'],
  ],
};

describe('blocks', () => {
  for (const [what, cases] of Object.entries(CASES)) {
    test(what, () => {
      for (const [text, expected] of cases) assert.equal(parsed(text), expected, JSON.stringify(text));
    });
  }

  test('nodes are plain objects with the documented properties', () => {
    assert.deepEqual(parse('# a\n3. [x] b\n```c\nd\n```\n|e|\n|:-:|\n|f|\n***'), [
      { type: 'heading', level: 1, text: 'a' },
      { type: 'list', ordered: true, start: 3, children: [
        { type: 'item', loose: false, task: true, children: [{ type: 'paragraph', text: '☑ b' }] },
      ] },
      { type: 'code', language: 'c', children: [{ type: 'lines', text: 'd' }] },
      { type: 'table', header: [{ type: 'cell', align: 'center', text: 'e' }], children: [
        { type: 'row', children: [{ type: 'cell', align: 'center', text: 'f' }] },
      ] },
      { type: 'rule' },
    ]);
  });

  test('marks nested too deeply are text', () => {
    assert.equal(parsed(`${'>'.repeat(30)}a`), `${'quote['.repeat(23)}p(${'>'.repeat(7)}a)${']'.repeat(23)}`);
    assert.match(parsed(`${'- '.repeat(20)}a`), /^(ul\[\[){12}p\((- ){8}a\)(\]\]){12}$/);
  });

  test('long code is in parts that together are the code, each but the last with its line end', () => {
    const code = Array.from({ length: 300 }, (_, i) => `line ${i} ${'x'.repeat(i)}`).join('\n');
    const [{ children }] = parse(`\`\`\`\n${code}\n\`\`\``);
    assert.equal(children.map(({ text }) => text).join(''), code);
    assert.ok(children.length > 20);
    const full = children.slice(0, -1).map(({ text }) => text);
    assert.ok(full.every((text) => text.endsWith('\n') && text.length > 2000 && text.length < 2400));
  });

  test('short table rows are not padded, so the number of cells is bounded by the text', () => {
    assert.match(parsed(`|${'a|'.repeat(900)}\n|${'-|'.repeat(900)}\n|b`), /^table.*\(b\)$/);
    assert.match(parsed(`|${'a|'.repeat(1100)}\n|${'-|'.repeat(1100)}\n|b`), /^p/);
  });

  test('a language is at most 40 characters', () => {
    assert.equal(parse(`\`\`\`${'x'.repeat(50)}\n`)[0].language, 'x'.repeat(40));
    for (const name of ['__proto__', 'constructor', 'toString']) {
      assert.equal(parse(`\`\`\`${name}\n`)[0].language, name);
    }
  });
});

/** The notation of the visible blocks after complete lines and an unfinished one. */
function peeked(text) {
  const lines = text.split('\n');
  const last = lines.pop();
  const parser = new BlockParser();
  for (const line of lines) parser.line(line);
  let seen = '';
  parser.peek(last, (root) => (seen = sketch(root.children)));
  return seen;
}

const UNDECIDED = [
  '#', '##', '## ', '-', '- ', '+', '*', '**', '* *', '- -', '---', '_', '_ _', '>', '> ', '> >', '> -', '- >', '1',
  '12', '1.', '1. ', '1)', '`', '``', '```', '```py', '~', '~~', '~~~', '~~~ a', '- [', '- [ ', '- [x', '- [x]',
  '- [x] ',
  '- #', '> #', '1. -', ' ', '\t',
];

const DECIDED = ['a', '- a', '> a', '# a', '| a', '  a', '- [x] a', '1. a', '```a`', '> - a'];

describe('an unfinished line', () => {
  test('is held back while its block is ambiguous', () => {
    for (const start of UNDECIDED) {
      for (const before of ['', 'a\n\n', 'a\n', '- a\n', '> a\n', '# a\n', '|a|\n|-|\n', '1. a\n   - b\n\n']) {
        assert.equal(peeked(before + start), parsed(before), JSON.stringify(before + start));
      }
    }
  });

  test('is shown once its block is known', () => {
    for (const [text, expected] of [
      ['# a', 'h1(a)'], ['# a #', 'h1(a)'], ['#a', 'p(#a)'], ['- a', 'ul[[p(a)]]'], ['-a', 'p(-a)'], ['1.5', 'p(1.5)'],
      ['12 a', 'p(12 a)'], ['* * a', 'ul[[ul[[p(a)]]]]'], ['> a', 'quote[p(a)]'], ['``a', 'p(``a)'],
      ['```a`', 'p(```a`)'],
      ['- [x] a', 'ul[![p(☑ a)]]'], ['- [xy', 'ul[[p([xy)]]'], ['a\nb', 'p(a\nb)'], ['a\n- b', 'p(a)ul[[p(b)]]'],
      ['- a\n  b', 'ul[[p(a\nb)]]'],
    ]) assert.equal(peeked(text), expected, JSON.stringify(text));
  });

  test('of code is shown unless it may be the closing fence', () => {
    const code = (tail) => peeked(`\`\`\`\na\n${tail}`);
    for (const tail of ['', ' ', '`', '``', '```', '  ```', '````']) assert.equal(code(tail), 'code:(a)', tail);
    for (const tail of ['b', '`b', '```b', '~~~']) assert.equal(code(tail), `code:(a\n${tail})`, tail);
    assert.equal(peeked('```\n'), 'code:()');
  });

  test('of a table row is shown as received', () => {
    const table = '|a|b|\n|-|-|\n';
    assert.equal(peeked(`${table}|`), 'table(a | b)');
    assert.equal(peeked(`${table}| c`), 'table(a | b)(c)');
    assert.equal(peeked(`${table}| c |`), 'table(a | b)(c)');
    assert.equal(peeked(`${table}| c | d | e`), 'table(a | b)(c | d)');
    assert.equal(peeked('a|b\n-|-\nc'), 'table(a | b)(c)');
    assert.equal(peeked('|a|b|\n|-|'), 'p(|a|b|)');
  });

  test('does not change the state of the parser', () => {
    for (const cases of Object.values(CASES)) {
      for (const [text, expected] of cases) {
        const parser = new BlockParser();
        for (const line of text.replace(/\n$/, '').split('\n')) {
          for (let end = 0; end <= line.length; end += 1) parser.peek(line.slice(0, end), () => {});
          for (const other of [...UNDECIDED, ...DECIDED]) parser.peek(other, () => {});
          parser.line(line);
        }
        assert.equal(sketch(parser.root.children), expected, JSON.stringify(text));
      }
    }
  });

  test('reports which blocks are open', () => {
    const open = (text) => {
      const parser = new BlockParser();
      const lines = text.split('\n');
      const last = lines.pop();
      for (const line of lines) parser.line(line);
      const found = [];
      const walk = (node, isOpen) => {
        if (isOpen(node)) found.push(node.type);
        for (const child of node.children ?? []) walk(child, isOpen);
      };
      parser.peek(last, walk);
      return found.join(' ');
    };
    assert.equal(open('a'), 'document paragraph');
    assert.equal(open('a\n\n'), 'document');
    assert.equal(open('# a'), 'document heading');
    assert.equal(open('# a\n'), 'document');
    assert.equal(open('- a\n- b'), 'document list item paragraph');
    assert.equal(open('|a|\n|-|\n|b'), 'document table row cell');
    assert.equal(open('|a|\n|-|\n|b\n'), 'document table');
    assert.equal(open('```\na'), 'document code');
    assert.equal(open('```\na\n```\n'), 'document');
  });
});

test('a last line that may become a table header stays undecided', () => {
  const decided = (text, type = 'paragraph') => decidedText({ type, text });
  assert.equal(decided('a\n| b |'), 'a');
  assert.equal(decided('| b'), '');
  assert.equal(decided('a\nb | c'), 'a\nb | c');
  assert.equal(decided('| a\nb'), '| a\nb');
  assert.equal(decided('| b', 'heading'), '| b');
  assert.equal(decided(`|${'b'.repeat(2000)}`).length, 2001);
});

const HOSTILE = [
  'a\n', '-\n', '>\n', '|\n', '| a\n', '|a|\n|-|\n', '-|\na|b|c\n', '```\n', '~~~\n', '#\n', '\n- ', '\n\n- a',
  '  - a\n', '- a\n\n', '> a\n', '- ', '> ', '>', '* ', '1. ', '- > ', '# ', '#', '|', '|-', '|a', '-', '`', '~', '\t',
  ' ', '\n', '\\|', '[ ] ',
  '- [ ] a\n', '\0', '=', '\r', '\r\n', 'a|b\n-|-\n', '---\n', '1.\n',
];

test('100,000 characters are parsed in linear time', () => {
  const spaces = ' '.repeat(100_000);
  const texts = [
    `${spaces}a`, `- ${spaces}a`, `# a${spaces}b`, `# a ${'#'.repeat(100_000)}b`,
    `|a|\n|---${spaces}x`, `---${spaces}x`,
    `\`\`\`${'x '.repeat(50_000)}\``, `\`\`\`\n${spaces}\n\`\`\``, `-${spaces}\n${spaces}a`,
  ];
  for (const text of [...HOSTILE.map((unit) => unit.repeat(100_000 / unit.length)), ...texts]) {
    const start = process.cpuUsage();
    parse(text);
    const spentMs = process.cpuUsage(start).user / 1000; // CPU time, independent of other load
    assert.ok(spentMs < 1000, `${JSON.stringify(text.slice(0, 20))} took ${spentMs} ms`);
  }
});
