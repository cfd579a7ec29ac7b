/**
 * Inline Markdown. Nodes are compared in a short notation: **strong**, *em*, ~~strike~~, `code`, [text](href "title"),
 * a break as ⏎, ‹formula›. Each text is also parsed as unfinished, and in two parts at every settled position.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { parseInline, safeAddress } from '../../src/tokenfall/web/inline.js';

const MARKS = { strong: '**', em: '*', strike: '~~', code: '`' };

function sketch(nodes) {
  return nodes.map((node) => {
    if (node.type === 'text') return node.text;
    if (node.type === 'break') return '⏎';
    if (node.type === 'math') return `‹${node.text}›`;
    const inside = node.type === 'code' ? node.text : sketch(node.children);
    if (node.type !== 'link') return MARKS[node.type] + inside + MARKS[node.type];
    return `[${inside}](${node.href}${node.title && ` "${node.title}"`})`;
  }).join('');
}

const closed = (text) => sketch(parseInline(text).nodes);
const open = (text) => sketch(parseInline(text, true).nodes);

/** Texts with markup: [text, notation]. */
const CLOSED = {
  'nothing': [['', '']],
  'emphasis with stars': [
    ['*a*', '*a*'], ['**a**', '**a**'], ['***a***', '***a***'], ['*a **b** c*', '*a **b** c*'],
    ['**a *b* c**', '**a *b* c**'], ['***a** b*', '***a** b*'], ['***a* b**', '***a* b**'], ['a*b*', 'a*b*'],
    ['**a\nb**', '**a b**'], ['* a*', '* a*'], ['*a *', '*a *'], ['**', '**'], ['****', '****'],
    ['*****a*****', '*****a*****'],
    ['**A**ccess', '**A**ccess'], ['un**believe**able', 'un**believe**able'],
  ],
  'stars that are no marks': [
    ['2*3*4', '2*3*4'], ['2 * 3 * 4', '2 * 3 * 4'], ['a*b*c', 'a*b*c'], ['x**2 + y**2', 'x**2 + y**2'],
    ['2**8', '2**8'],
    ['**kwargs and *args', '**kwargs and *args'], ['*.js or *.css', '*.js or *.css'],
  ],
  'emphasis with underscores': [
    ['_a_', '*a*'], ['__a__', '**a**'], ['___a___', '***a***'], ['snake_case_name', 'snake_case_name'],
    ['__init__', '**init**'], ['a__init__b', 'a__init__b'], ['_a_b', '_a_b'], ['(_a_)', '(*a*)'], ['_(a)_.', '*(a)*.'],
  ],
  'one mark closes one, two close two': [
    ['**a *b** c', '**a *b** c'], ['*a **b* c', '*a **b* c'], ['*a**', '*a**'], ['**a*', '**a*'],
    ['**a *b***', '**a *b***'],
    ['*a _b* c_', '*a _b* c_'],
  ],
  'strikethrough': [
    ['~~a~~', '~~a~~'], ['~a~', '~a~'], ['~5 to ~6', '~5 to ~6'], ['~~~a~~~', '~~~a~~~'], ['~~ a~~', '~~ a~~'],
  ],
  'marks next to East Asian text': [
    ['这是**重点**内容', '这是**重点**内容'], ['**“重点”**是', '**“重点”**是'], ['是**（注）**的', '是**（注）**的'],
    ['**한국어(조선말)**는', '**한국어(조선말)**는'],
  ],
  'marks next to an emoji': [['**😀 a**', '**😀 a**'], ['😀*a*😀', '😀*a*😀']],
  'code': [
    ['`a`', '`a`'], ['`` a`b ``', '`a`b`'], ['` `` `', '````'], ['`a\nb`', '`a b`'], ['`  a`', '` a`'], ['` `', '` `'],
    ['`*a*`', '`*a*`'], ['*a `b*` c', '*a `b*` c'], ['`a``', '`a``'], ['``a`', '``a`'], ['`a', '`a'], ['`\\`', '`\\`'],
    ['`&amp;<b>`', '`&amp;<b>`'], ['[`a](https://b.c)`', '[`a](https://b.c)`'],
  ],
  'escapes': [
    ['\\*a\\*', '*a*'], ['\\\\', '\\'], ['\\a', '\\a'], ['a\\', 'a\\'], ['\\`a`', '`a`'],
    ['\\[a](https://b.c)', '[a]([https://b.c](https://b.c/))'],
    ['\\&amp;', '&amp;'], ['\\!\\<\\>', '!<>'], ['`a`\\`b`', '`a``b`'],
  ],
  'formulas stay as they are': [
    ['\\(a_1*b*_2\\)', '‹\\(a_1*b*_2\\)›'], ['\\[a \\\\ b\n&amp;\\]', '‹\\[a \\\\ b\n&amp;\\]›'],
    ['$a_i*b_i*$', '‹$a_i*b_i*$›'], ['$$\\{a\\}$$', '‹$$\\{a\\}$$›'], ['*a $b*$ c*', '*a ‹$b*$› c*'],
    ['\\begin{a*}\n*b*\n\\end{a*}', '‹\\begin{a*}\n*b*\n\\end{a*}›'], ['$a\\$b$', '‹$a\\$b$›'],
    ['[$a]$](https://b.c)', '[[$a]$](https://b.c/)'.replace('[[', '[').replace('[$a]$]', '[‹$a]$›]')],
  ],
  'dollars that are prices, and marks that are not closed': [
    ['$5 and *$10*', '$5 and *$10*'], ['from $5-$10', 'from $5-$10'], ['$ a$', '$ a$'], ['$a $', '$a $'],
    ['$a\nb$', '$a b$'], ['\\$a$', '$a$'], ['`$a$`', '`$a$`'], ['\\(a', '(a'], ['$$a', '$$a'], ['$', '$'],
    ['\\begin{a}b\\end{c}', '\\begin{a}b\\end{c}'],
  ],
  'entities': [
    ['&amp;&lt;&gt;&quot;&apos;', '&<>"\''], ['a&nbsp;b', 'a\u00a0b'], ['&#65;&#x42;', 'AB'],
    ['&#0;&#31;&#127;&#159;', '\ufffd'.repeat(4)],
    ['&#xd800;&#x110000;&#1114112;', '\ufffd'.repeat(3)], ['&para; &ampx; & &# &#x; &;', '&para; &ampx; & &# &#x; &;'],
    ['a &ndash; b &mdash; c&hellip; &rarr; &Copy;', 'a – b — c… → ©'],
    ['&#42;a&#42;', '*a*'],
    ['&constructor;&toString;', '&constructor;&toString;'],
  ],
  'line ends': [
    ['a\nb', 'a b'], ['a \nb', 'a b'], ['a  \nb', 'a⏎b'], ['a    \nb', 'a⏎b'], ['a\\\nb', 'a⏎b'], ['a  ', 'a'],
    ['a<br>b<br/>c<BR />d', 'a⏎b⏎c⏎d'],
    ['**a  \nb**', '**a⏎b**'],
  ],
  'HTML is text': [['<b>a</b>', '<b>a</b>'], ['<br x>', '<br x>'], ['<!-- a -->', '<!-- a -->'], ['a < b', 'a < b']],
  'links': [
    ['[a](https://b.c)', '[a](https://b.c/)'], ['[a](<https://b.c/d e>)', 'a'],
    ['[a](<https://b.c/(>)', '[a](https://b.c/()'],
    ['[a](https://b.c "t")', '[a](https://b.c/ "t")'], ["[a](https://b.c 't')", '[a](https://b.c/ "t")'],
    ['[a](https://b.c (t))', '[a](https://b.c/ "t")'],
    ['[a](https://b.c "t\\"<u&amp;")', '[a](https://b.c/ "t"<u&")'], ['[a]( https://b.c )', '[a](https://b.c/)'],
    ['[a](https://b.c\n"t")', '[a](https://b.c/ "t")'],
    ['[a](https://b.c/d_(e)_f)', '[a](https://b.c/d_(e)_f)'],
    ['[a](https://b.c/?d&amp;e=1&f)', '[a](https://b.c/?d&e=1&f)'], ['[a](https://b.c/\\))', '[a](https://b.c/))'],
    ['[**a** `b]`](https://c.d)', '[**a** `b]`](https://c.d/)'], ['**[a](https://b.c)**', '**[a](https://b.c/)**'],
    ['*a [b* c](https://d.e)', '*a [b* c](https://d.e/)'],
    ['[a [b] c](https://d.e)', '[a [b] c](https://d.e/)'], ['[a](mailto:b@c.de)', '[a](mailto:b@c.de)'],
    ['[](https://b.c)', '[https://b.c/](https://b.c/)'],
    ['[a](HTTPS://B.C)', '[a](https://b.c/)'], ['[https://a.b](https://c.d)', '[https://a.b](https://c.d/)'],
  ],
  'a link in a link is text': [
    ['[a [b](https://c.d) e](https://f.g)', '[a [b](https://c.d/) e]([https://f.g](https://f.g/))'],
    ['[![a](https://b.c)](https://d.e)', '[a](https://d.e/)'],
    ['[*<https://a.b>*](https://c.d)', '[*https://a.b*](https://c.d/)'],
    ['[[a](https://b.c)](javascript:d)', '[[a](https://b.c/)](javascript:d)'],
  ],
  'no links': [
    ['[a]', '[a]'], ['[a] (https://b.c)', '[a] ([https://b.c](https://b.c/))'], ['[a](b c)', '[a](b c)'],
    ['[a](', '[a]('], ['[a', '[a'], ['a](b)', 'a](b)'],
    ['[a][b]', '[a][b]'], ['[a]: https://b.c', '[a]: [https://b.c](https://b.c/)'],
    ['array[0](1, 2)', 'array[0](1, 2)'], ['[x] and [ ]', '[x] and [ ]'],
  ],
  'images are links': [
    ['![a](https://b.c/d.png)', '[a](https://b.c/d.png)'],
    ['![](https://b.c/d.png)', '[https://b.c/d.png](https://b.c/d.png)'], ['![a](d.png)', 'a'],
    ['![a](data:image/png;base64,AA)', 'a'], ['a![b', 'a![b'], ['!a', '!a'],
  ],
  'addresses between angles': [
    ['<https://a.b>', '[https://a.b](https://a.b/)'], ['<mailto:a@b.c>', '[mailto:a@b.c](mailto:a@b.c)'],
    ['<a@b.c>', '<a@b.c>'], ['<https://a b>', '<[https://a](https://a/) b>'],
    ['<javascript:a>', '<javascript:a>'], ['<https://u:p@a.b>', 'https://u:p@a.b'],
  ],
  'bare addresses': [
    ['https://a.b/c?d=e#f', '[https://a.b/c?d=e#f](https://a.b/c?d=e#f)'],
    ['(https://a.b)', '([https://a.b](https://a.b/))'], ['see https://a.b.', 'see [https://a.b](https://a.b/).'],
    ['https://a.b/c_(d)', '[https://a.b/c_(d)](https://a.b/c_(d))'],
    ['https://a.b/_c_d_', '[https://a.b/_c_d](https://a.b/_c_d)_'],
    ['**https://a.b**', '**[https://a.b](https://a.b/)**'],
    ['https://a.b,https://c.d', '[https://a.b,https://c.d](https://a.b,https//c.d)'], ['xhttps://a.b', 'xhttps://a.b'],
    ['http://', 'http://'], ['https://a.b。是', '[https://a.b](https://a.b/)。是'],
    ['见https://a.b，是', '见[https://a.b](https://a.b/)，是'], ['Http://A.b', '[Http://A.b](http://a.b/)'],
    ['"https://a.b"', '"[https://a.b](https://a.b/)"'], ['ftp://a.b www.a.b', 'ftp://a.b www.a.b'],
  ],
};

describe('a closed text', () => {
  for (const [what, cases] of Object.entries(CLOSED)) {
    test(what, () => {
      for (const [text, expected] of cases) assert.equal(closed(text), expected, text);
    });
  }

  test('nodes are plain objects with the documented properties', () => {
    assert.deepEqual(parseInline('a*b*`c`[d](https://e.f "g")<br>').nodes, [
      { type: 'text', text: 'a*b*' },
      { type: 'code', text: 'c' },
      { type: 'link', href: 'https://e.f/', title: 'g', children: [{ type: 'text', text: 'd' }] },
      { type: 'break' },
    ]);
  });

  test('a mark spans at most 4000 characters, a label 300, an address 2000', () => {
    const long = (size) => 'a '.repeat(size / 2).trim();
    assert.equal(closed(`*${long(3998)}*`), `*${long(3998)}*`);
    assert.equal(parseInline(`*${long(3998)}*`).nodes[0].type, 'em');
    assert.equal(parseInline(`*${long(4002)}*`).nodes[0].type, 'text');
    assert.equal(parseInline(`\`${long(4004)}\``).nodes[0].type, 'text');
    assert.equal(parseInline(`[${long(298)}](https://a.b)`).nodes.length, 1);
    assert.equal(parseInline(`[${long(302)}](https://a.b)`).nodes[0].type, 'text');
    assert.equal(parseInline(`[a](https://b.c/${'d'.repeat(2000)})`).nodes[0].type, 'text');
  });

  test('marks nested too deeply are text', () => {
    const depth = (nodes) => Math.max(0, ...nodes.map(({ children = [] }) => 1 + depth(children)));
    assert.ok(depth(parseInline(`${'*a **b '.repeat(100)}${'c** d* '.repeat(100)}`).nodes) < 70);
  });
});

test('a mark open for longer than its maximum span is text', () => {
  for (const mark of ['*', '**', '_', '~~', '`', '``', '[', '$', '$$']) {
    const long = 'a '.repeat(2010);
    assert.equal(open(mark + long), mark + long.trim());
  }
});

describe('an address', () => {
  test('allows only http, https and mailto', () => {
    assert.equal(safeAddress('https://a.b/c d'), '');
    assert.equal(safeAddress('HTTPS://a.b'), 'https://a.b/');
    for (const bad of [
      '', 'a', '/a', '//a.b', '#a', '?a', 'javascript:a', 'JaVaScRiPt:a', ' javascript:a', 'java\tscript:a', 'data:a',
      'vbscript:a', 'file:///a', 'blob:https://a.b',
      'https:a.b', 'https:/a.b', 'https:\\\\a.b', ' https://a.b', 'https://a.b\n', 'https://a.b\0', 'https://a\u202eb',
      'https://a\u200bb', 'https://u@a.b', 'https://u:p@a.b',
      'https://', 'https://:', 'https://a.b/"', 'https://a.b/<c>', 'https://a.b`c', 'mailto:"><b>', 'http://[',
      'xhttps://a.b', 'view-source:https://a.b', 'javascript:https://a.b',
      'httpsx://a.b',
    ]) assert.equal(safeAddress(bad), '', bad);
  });
});

/** Unfinished texts: [text so far, notation]. */
const OPEN = {
  'what is not closed counts as closed': [
    ['**a', '**a**'], ['*a', '*a*'], ['***a', '***a***'], ['~~a', '~~a~~'], ['`a', '`a`'], ['``a', '`a`'],
    ['**a *b', '**a *b***'], ['_a', '*a*'],
    ['**a `b', '**a `b`**'], ['*a\nb', '*a b*'],
  ],
  'a mark that may go on is left out': [
    ['a*', 'a'], ['a **', 'a'], ['**a*', '**a**'], ['**a**', '**a**'], ['a_', 'a'], ['a ~', 'a'], ['a`', 'a'],
    ['a ``', 'a '], ['`a`', '`a`'], ['`a ', '`a`'],
    ['a!', 'a'], ['a\\', 'a'], ['a ', 'a'], ['a  ', 'a'], ['a&', 'a'], ['a&am', 'a'], ['a&#6', 'a'], ['a<', 'a'],
    ['a<b', 'a'], ['a <https://b.c', 'a'], ['a<br /', 'a'],
  ],
  'what is decided is shown': [
    ['a*b', 'a*b'], ['a* b', 'a* b'], ['a! b', 'a! b'], ['a&b;', 'a&b;'], ['AT&T', 'AT'], ['AT&T ', 'AT&T'],
    ['a< b', 'a< b'], ['a<b ', 'a<b'],
  ],
  'a label is left out until what follows it is known': [
    ['a [', 'a'], ['a [b', 'a'], ['a [b]', 'a'], ['a [b](', 'a'], ['a [b](ht', 'a'], ['a [b](https:/', 'a'],
    ['a [b](https://', 'a'], ['a [b] ', 'a [b]'], ['a [b]c', 'a [b]c'], ['a ![b', 'a'],
    ['**a [b', '**a**'], ['a [b [c] d', 'a'],
  ],
  'a link is shown before its address is complete': [
    ['[a](https://b', '[a](null)'], ['[a](https://b "c d', '[a](null)'], ['[a](https://b) ', '[a](https://b/)'],
    ['[a](mailto:b', '[a](null)'], ['[a](javascript:b', 'a'], ['[a](/b', 'a'],
    ['[a](https://b c', '[a]([https://b](https://b/) c'], ['[](https://b', ''],
  ],
  'a bare address is shown as far as it is one': [
    ['h', ''], ['a http', 'a'], ['a https:/', 'a'], ['a https://', 'a'], ['https://b', '[https://b](https://b/)'],
    ['https://b.', '[https://b](https://b/)'], ['(https://b)', '([https://b](https://b/)'],
    ['https://b. ', '[https://b](https://b/).'], ['ah', 'ah'],
  ],
};

describe('an open text', () => {
  for (const [what, cases] of Object.entries(OPEN)) {
    test(what, () => {
      for (const [text, expected] of cases) assert.equal(open(text), expected, text);
    });
  }
});

/** A seeded random number generator, so that failures are reproducible. */
function* randoms(seed) {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

const UNITS = [
  'a', 'bc', ' word ', 'x1', '*', '**', '***', '_', '__', '~~', '~', '`', '``', '[', ']', '](', '](https://a.b)', '![',
  '(', ')', '<', '>', '<br>', '&', '&amp;', '&#6', ';',
  'http', 'https://', 'https://a.b/c', '\\', '!', '. ', '\n', '  \n', ' ', '"', '😀', '语', '。', 'hh', 'javascript:',
  '2*3', '\ud83d', '|', "'t'",
];

function joined(...lists) {
  const nodes = [];
  for (const node of lists.flat()) {
    const last = nodes.at(-1);
    if (node.type !== 'text' || last?.type !== 'text') nodes.push(node);
    else nodes.splice(-1, 1, { type: 'text', text: last.text + node.text });
  }
  return nodes;
}

test('settled nodes do not change with later text', () => {
  const random = randoms(1);
  const unit = () => UNITS[Math.floor(random.next().value * UNITS.length)];
  const draw = (size) => Array.from({ length: size }, unit).join('');
  let parted = 0;
  for (let round = 0; round < 8000; round += 1) {
    const [text, more] = [draw(8), draw(8)];
    const { settled } = parseInline(text, true);
    parted += settled > 0 ? 1 : 0;
    const parts = joined(parseInline(text.slice(0, settled)).nodes, parseInline(text.slice(settled) + more).nodes);
    assert.deepEqual(parts, parseInline(text + more).nodes, JSON.stringify([text, settled, more]));
  }
  assert.ok(parted > 1500, `${parted} were in parts at all`);
});

test('a long text settles, with and without spaces and open marks', () => {
  const words = 'word `and` '.repeat(1000);
  for (const text of [words, '语言'.repeat(4000), `*${words}`, `[${words}`, `**a *b ${words}`]) {
    assert.ok(text.length - parseInline(text, true).settled < 4100, text.slice(0, 10));
  }
  assert.ok(parseInline('word *em* word and', true).settled > 14);
});

const HOSTILE = [
  ...'*_`~[]()<>!&\\|#- \nah', '![', '](', '[](', '[a](', '[a](b', '[a](<', '[a](b "', "[a](b '", '[a](b (', '[a](b(',
  '[a](\\', '[a](http://b ', '[a](https://b)', '*a ', '**a ', '*a **b ', '_a ', 'a_', '*_', '_*',
  '**_', '~~a', '`a', '``a`', '` `` ``` ', '<a', '<https://', '<br', '&#', '&#x', '&a', 'http://', 'https://:',
  'https://(', 'https://a)', 'h ', 'ht', 'a  ', 'a\\\n', '  \n', '[[]]', '[a]', '***a', '*a*', '😀', '\ud800',
];

test('long input is parsed in linear time', () => {
  for (const unit of HOSTILE) {
    const text = unit.repeat(25_000 / unit.length);
    assert.ok(parsingMs(text) < 1000, unit);
  }
});

test('no input causes catastrophic backtracking', () => {
  const spaces = ' '.repeat(100_000);
  const escapes = '\\x'.repeat(900);
  const texts = [
    `a${spaces}b`, `a${spaces}\nb`, `[a](${spaces}`, `[a](b${spaces}"`, `[a](b "${escapes}" c`, `[a](b '${escapes}' c`,
    `[a](b (${escapes}) c`, `[a](${escapes} c`, `[a](b(${escapes} c`, `[a](<${escapes} c`,
  ];
  for (const text of texts) assert.ok(parsingMs(text) < 2000, text.slice(0, 20));
});

/** Measures CPU time, independent of other load, for finished and unfinished text. */
function parsingMs(text) {
  const start = process.cpuUsage();
  parseInline(text);
  assert.ok(parseInline(text, true).settled <= text.length);
  return process.cpuUsage(start).user / 1000;
}
