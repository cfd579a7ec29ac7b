/**
 * Incremental rendering of Markdown, compared with rendering of the whole text, in a minimal DOM.
 *
 * For any split of a text, the final elements must equal those of the whole text. Rendered text must not be removed
 * or restyled, except in the cases listed below. Closed blocks are not touched. Injections stay text.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { changes, Element, elements, installDocument, markup } from './dom.mjs';
import { INJECTIONS } from './injections.mjs';

installDocument();
const { StreamingMarkdown } = await import('../../src/tokenfall/web/streaming_markdown.js');
const { parse, render } = await import('./render_whole.mjs');

const DOCUMENTS = [
  '# Title\n\nSome **bold** text, *em*, `code` and ~~strike~~.\n\nAnother paragraph\nover two lines.\n',
  '- one\n- two\n  - nested **b**\n    - deeper\n  - more\n- three\n\nafter',
  '1. first\n2. second\n   ```py\n   x = 1\n\n   y\n   ```\n3. third\n',
  '- a\n\n- b\n- c\n\n\n  still c\n\nx',
  '1) a\n2) b\n1. c\n10. d\n- e\n* f\n+ g\n',
  '- [ ] todo\n- [x] done\n- [maybe] not\n- [x]no\n',
  '| a | b |\n|---|:-:|\n| 1 | 2 |\n| x \\| y | **z** |\n\nafter',
  'Intro:\n| a | b |\n|---|---|\n| 1 | 2 |\ntext',
  '| only | header |\n\n| no | delimiters |\nx\n\n| a | b |\n|---|\n',
  '> | a | b |\n> |---|---|\n> | 1 | 2 |\n\n- | a |\n  |---|\n  | x |\n',
  '| a |\n|---|\n|\n|  |\n| **b** | too many |\n# end',
  '> quote\n> more\nlazy\n> - list\n> - l2\n>> deep\n\nplain\n\n> again',
  'a\n\n---\n\nb\n***\n___\n* * *\n- - -\nend',
  '```js\nconst a = 1;\n``\n```\nafter ```inline``` x\n```\n```',
  '```js\nif (a) return `b ${c}\nd`; // e "f"\n/* g\nif */ x = "h\\"\n```\n',
  '~~~\nfoo ~~ bar\n~~~~\n\n````md\n```\ninner\n```\n````\n',
  '```\n\n\na\n\n\n```\nb\n\n```python\n    indented\n\ttab\n  \n',
  '1. Do:\n   ```py\nunindented = 1\n   ```\n2. next',
  '[text](https://x.y/z "title") and ![img](https://a.b/c.png) <https://q.r> https://bare.x/y_z. Done!',
  '[not a link] and [y](javascript:alert(1)) arr[5] = 3 (a)[b] ![z](rel.png) [/a](/b)',
  '**[bold link](https://a.b)** and [**link** `code`](https://c.d), [![badge](https://e.f)](https://g.h)!',
  'see (https://a.b/c_(d)), "https://e.f"; http://g.h/?i=j&k=l#m... or h, ht, http: and https:/',
  'snake_case, 2*3*4, x**2 + y**2, a * b ** c, __init__ and 5 ~ 6',
  '***bold em*** **bold *em* x** *em **b** y* ___u___ __s__ _e_ **A**ccess',
  'hard  \nbreak\\\nagain\nsoft <br>x<br/>y &amp; &lt;b&gt; AT&T &#65; &unknown; <div> a<b',
  '# Heading ##\n## C#\n####### seven\n#tag\n###### six # x\n#\n',
  '2024 was good\n\n12. twelve\n\n3.5 is a number\n1 is too\n1. list\n',
  'Hello! World! 5 < 6 & 7 > 3 | x; a\\_b \\* \\\\ c\\',
  '日本語の**重要**な*単語*。https://例え.jp/あ、次は**「引用」**です。`コード`',
  '😀 emoji **😀** `😀` 👨‍👩‍👧 [😀](https://a.b) 🇺🇳\n\n- 😀\n',
  '\r\nwin\r\nlines\r\n\r\n- a\r\n- b\r\n\r\n```\r\ncode\r\n```\r\n',
  '- - - x\n* * y\n> > z\n- 1. a\n  2. b\n- # h\n- > q\n- ```\n  c\n  ```\n- ---\n',
  'Text `` a`b `` and `code\nspan` and **bold\nover lines** ok ` x ` `  ` end',
  '    indented text\n\tTab\n\n   # not so deep\n        - deep\n',
  'Email <mailto:a@b.c> mailto:x <a@b.c> <T> Vec<u8> a<b>c',
  'He said:\n\n> *Well*, **this** is `it`.\n> — me\n\n1. **One:** text\n2. **Two:** text\n\n   more of two\n',
  'לפני **מודגש** ואחרי [קישור](https://a.b)\n\n- פריט\n- item\n',
  '$x^2 * y_1 * z_2$ and \\(a_1\\) then $$\n\\sum_i^n\n$$\n',
  'So \\(a_1 * b_2 * c\\), \\[x \\\\ y\\] and $\\alpha_{i} * 2_i$ cost $5, not $10. $$x_1$$ \\$a\\$ `$b$`\n',
  '\\[\na\n- b\n# c\n> d\n\\]\n- e\n\n- $$\n  1. f\n  $$\n\n\\begin{pmatrix}\n* 1 & 2 \\\\\n* 3\n\\end{pmatrix}\ntext',
  `word ${'and another word '.repeat(100)}end.`,
  `${'**bold** and *em* with `code`, '.repeat(40)}end`,
  `- ${'long item with [a link](https://a.b) '.repeat(40)}\n- b`,
  `\`\`\`\n${'a line of code\n'.repeat(200)}\`\`\`\ndone`,
  'a\0b\n\n`\0`\n\n```\0\n\0\n```',
  '<b>bold</b> <!-- no --> <script>alert(1)</script>\n\n<div>\n\n*em*\n</div>',
];

/**
 * Ambiguous text that is shown early and may be rendered again, because waiting would hold back too much:
 * marks that are never closed or closed by other marks; a link whose URL turns out to be invalid, or to be valid
 * only after unescaping; a header row that does not begin with `|`.
 */
const EXCEPTIONS = [
  'a **bold that never ends\n\nb', 'a *em that never ends', 'a `code that never ends', 'a ~~strike that never ends',
  '*a **b* c', '**a *b** c', '*a _b* c_', '***a* b**', '*a*b**c*',
  '`*a*', '[a](https://b c', '[a](https://b "c" d', '[a](https\\://b)', '[a](&#104;ttps://b)',
  'a | b\n--- | ---\nc | d', 'An intro of words\nName | Age\n--- | ---\nAda | 36\n', `*${'word '.repeat(900)}`,
  '\\(a *b*\n\nc', '$a *b*\nc', '$5 *b*_$ c', '\\[a\n*b*\n\nc', '*a `b* c`', 'all *.js and *.css files',
];

const nameOf = (text) => JSON.stringify(text.slice(0, 40));

function whole(text) {
  const box = new Element('div');
  box.append(...render(parse(text)));
  return markup(box);
}

function grown(pieces, eachTime = () => {}) {
  const box = new Element('div');
  const growing = new StreamingMarkdown(box);
  for (const piece of pieces) {
    growing.append(piece);
    eachTime(box);
  }
  growing.end();
  eachTime(box);
  assert.equal(growing.text, pieces.join(''));
  return markup(box);
}

/** A seeded random number generator, so that failures are reproducible. */
function randomOf(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

function cut(text, random, size) {
  const pieces = [];
  for (let at = 0; at < text.length; at += pieces.at(-1).length) pieces.push(text.slice(at, at + 1 + random(size)));
  return pieces;
}

describe('any split of a text gives the same elements as the whole text', () => {
  for (const text of [...DOCUMENTS, ...EXCEPTIONS]) {
    test(nameOf(text), () => {
      const expected = whole(text);
      assert.equal(grown([text]), expected, 'whole');
      assert.equal(grown(text.split(/(?<=\n)/)), expected, 'line by line');
      const random = randomOf(text.length);
      for (const size of [3, 5, 8, 12, 20, 50]) assert.equal(grown(cut(text, random, size)), expected, `up to ${size}`);
      if (text.length > 1000) return;
      assert.equal(grown(text.split('')), expected, 'one by one');
      for (let at = 1; at < text.length; at += 1) {
        assert.equal(grown([text.slice(0, at), text.slice(at)]), expected, `at ${at}`);
      }
    });
  }

  test('random texts', () => {
    const units = [
      'a', 'word ', 'x\n', '\n', '\n\n', '# ', '- ', '  - ', '1. ', '2) ', '> ', '>', '```', '```py\n', '\n```\n',
      '~~~', '| a ', '|', '|---|', '\n|-|-|\n', '| b | c |\n', '---\n', '***', '**', '*', '_', '`', '~~', '[',
      '](https://a.b)', '![',
      ']', '(', ')', '<', '>', '<br>', '&amp;', '&', '\\', 'https://a.b/c', '  ', '    ', '\t', '  \n', '[ ] ', '[x] ',
      '$', '$$', '$x', '\\(', '\\)', '\\[', '\\]\n', '\\begin{a}', '\\end{a}', '!', '😀', '\ud83d', '\r\n', '\r', '\0', '语言', 'a | b\n', '- | -\n', '--- | ---\n', ': ', '12', '.',
    ];
    const random = randomOf(5);
    for (let round = 0; round < 1500; round += 1) {
      const text = Array.from({ length: 2 + random(25) }, () => units[random(units.length)]).join('');
      assert.equal(grown(cut(text, random, 6)), whole(text), JSON.stringify(text));
    }
  });
});

/** The visible text as [enclosing elements, text] of each part. */
function seen(node, around = '', parts = []) {
  for (const child of node.childNodes) {
    const last = parts.at(-1);
    if (child.nodeType === 1) seen(child, `${around}/${child.localName}`, parts);
    else if (last?.[0] === around) last[1] += child.data;
    else parts.push([around, child.data]);
  }
  return parts;
}

/** The part of `before` that `after` does not continue; empty if `after` only adds text. */
function lost(before, after) {
  const goesOn = ([around, text], i) => {
    if (around !== after[i]?.[0]) return false;
    return i === before.length - 1 ? after[i][1].startsWith(text) : after[i][1] === text;
  };
  const at = before.findIndex((part, i) => !goesOn(part, i));
  return at < 0 ? '' : `${JSON.stringify(before[at])} became ${JSON.stringify(after[at])}`;
}

function flicker(text) {
  let last = [];
  let found = '';
  grown(text.split(''), (box) => {
    const now = seen(box).filter(([, part]) => part !== '');
    found ||= lost(last, now);
    last = now;
  });
  return found;
}

describe('rendered text is never removed or restyled', () => {
  for (const text of DOCUMENTS) {
    test(nameOf(text), () => assert.equal(flicker(text), ''));
  }

  for (const text of EXCEPTIONS) {
    test(`but in: ${nameOf(text)}`, () => assert.notEqual(flicker(text), ''));
  }
});

test('unambiguous text is shown at once', () => {
  for (const text of DOCUMENTS) {
    if (text.length > 1000 || /[[|<]|h?ttp/.test(text)) continue; // links and tables are held back
    let at = 0;
    grown(text.split(''), (box) => {
      const now = text.slice(0, at += 1);
      const shown = box.textContent.replace(/\s/g, '').length;
      const marks = now.replace(/[a-zA-Zא-ת]/g, '').length;
      assert.ok(shown + marks + 12 >= now.length, now.slice(-40));
    });
  }
});

describe('a closed block', () => {
  test('keeps its elements, untouched', () => {
    for (const text of DOCUMENTS) {
      const closed = new Map(); // closed blocks and their markup
      grown(cut(text, randomOf(3), 20), (box) => {
        for (const [element, look] of closed) {
          assert.ok(box.childNodes.includes(element), look);
          assert.equal(markup(element), look);
        }
        for (const element of box.childNodes.slice(0, -1)) closed.set(element, markup(element));
      });
    }
  });

  test('does not increase the cost of later text', () => {
    const giants = {
      paragraph: 'word and **bold** with `code`, '.repeat(2500),
      'paragraph without spaces': '语言和**重点**内容，'.repeat(1200),
      'paragraph with a mark never closed': `a *b ${'word and another '.repeat(900)}`,
      'paragraph with code never closed': `a \`b ${'word and another '.repeat(900)}`,
      'paragraph with a label never closed': `a [b ${'word and another '.repeat(900)}`,
      code: `\`\`\`\n${'    call(something, "text")\n'.repeat(700)}`,
      'code in colours': `\`\`\`js\n${'    if (call(1)) return "text"; // so\n'.repeat(700)}`,
      'line of code': `\`\`\`\n${'{"a":1},'.repeat(2000)}`,
      list: '- an item with **bold** text\n'.repeat(700),
      'nested list': '- an item\n  - with items\n    1. in it\n'.repeat(500),
      quote: '> said with **weight**\n>\n'.repeat(700),
      'paragraph with a formula never closed': `a \\(b ${'word and another '.repeat(900)}`,
      'paragraph with dollars': 'word and $5 for $10, '.repeat(2500),
      'lines of a formula never closed': `$$\n${'a + b\n'.repeat(1500)}`,
      table: `| a | b |\n|---|---|\n${'| some | **cell** |\n'.repeat(700)}`,
    };
    for (const [what, text] of Object.entries(giants)) {
      const costs = [];
      changes.count = 0;
      const start = process.cpuUsage();
      grown(text.match(/[^]{1,30}/g), () => {
        costs.push(changes.count);
        changes.count = 0;
      });
      assert.ok(Math.max(...costs) < 150, `${what}: ${Math.max(...costs)} changes at once`);
      const spentMs = process.cpuUsage(start).user / 1000; // CPU time, independent of other load
      assert.ok(spentMs < 3000, `${what} took ${spentMs} ms`);
    }
  });
});

test('long text is in few text nodes', () => {
  const box = new Element('div');
  const growing = new StreamingMarkdown(box);
  for (let i = 0; i < 2000; i += 1) growing.append('some words ');
  const sizes = box.firstChild.childNodes.map(({ length }) => length);
  assert.ok(sizes.length > 8 && sizes.length < 14, `${sizes}`);
  assert.ok(sizes.slice(0, -2).every((size) => size >= 2000 && size < 2100), `${sizes}`);
});

describe('the number of elements', () => {
  const shown = (text) => {
    const box = new Element('div');
    box.append(...render(parse(text)));
    return box.childNodes.map(markup).join('');
  };

  test('of text', () => {
    const inside = 'a <strong>b</strong> <em>c</em> <del>d</del> <code>e</code><br></br>';
    assert.equal(shown('a **b** *c* ~~d~~ `e`<br>'), `<p dir="auto">${inside}</p>`);
    assert.equal(shown('# a\n###### b'), '<h3 dir="auto">a</h3><h6 dir="auto">b</h6>');
    assert.equal(shown('> a\n\n---'), '<blockquote dir="auto"><p>a</p></blockquote><hr dir="auto"></hr>');
  });

  test('of lists', () => {
    const items = '<li><p>a</p></li><li class="loose task"><p>☑ b</p></li>';
    assert.equal(shown('- a\n\n- [x] b'), `<ul dir="auto">${items}</ul>`);
    assert.equal(shown('3. a'), '<ol dir="auto" start="3"><li><p>a</p></li></ol>');
  });

  test('of formulas', () => {
    const formula = '<span class="math" dir="ltr" translate="no">\\[a_1\n  b\\]</span>';
    assert.equal(shown('x\n\\[a_1\n  b\\]'), `<p dir="auto">x ${formula}</p>`);
  });

  test('of links', () => {
    const attributes = 'href="https://b.c/" referrerpolicy="no-referrer" rel="noopener noreferrer nofollow" ' +
      'target="_blank"';
    assert.equal(shown('[a](https://b.c)'), `<p dir="auto"><a ${attributes}>a</a></p>`);
    assert.equal(shown('[a](https://b.c "d")'), `<p dir="auto"><a ${attributes} title="d">a</a></p>`);
    const box = new Element('div');
    new StreamingMarkdown(box).append('[a](https://b');
    assert.equal(markup(box), '<div><p dir="auto"><a>a</a></p></div>');
  });

  test('of code', () => {
    const buttons = '<button aria-pressed="false" class="wrap" data-wrap="" type="button">Wrap</button> ' +
      '<button class="copy" data-copy="code" type="button">Copy</button>';
    const figure = (label, language) => `<figure aria-label="${label}" class="code" dir="auto"><figcaption>` +
      `<span class="language">${language}</span> ${buttons}</figcaption>` +
      '<pre dir="ltr" tabindex="0"><code><span class="lines">b</span></code></pre></figure>';
    assert.equal(shown('```js\nb\n```'), figure('Code: js', 'js'));
    assert.equal(shown('```\nb'), figure('Code', 'code'));
  });

  test('of tables', () => {
    const head = '<thead><tr><th class="right" scope="col">a</th></tr></thead>';
    const table = `<table>${head}<tbody><tr><td class="right">b</td></tr></tbody></table>`;
    const around = '<div aria-label="Table" class="table" dir="auto" role="group" tabindex="0">';
    assert.equal(shown('|a|\n|-:|\n|b|'), `${around}${table}</div>`);
  });
});

const ALLOWED = {
  a: ['href', 'title', 'target', 'rel', 'referrerpolicy'], blockquote: [], br: [],
  button: ['type', 'class', 'data-copy', 'data-wrap', 'aria-pressed'], code: [], del: [], div: ['class', 'tabindex', 'role', 'aria-label'], em: [],
  figcaption: [], figure: ['class', 'aria-label'], h3: [], h4: [], h5: [], h6: [], hr: [], li: ['class'],
  ol: ['start'], p: [], pre: ['tabindex', 'dir'], span: ['class', 'translate'], strong: [], table: [], tbody: [], td: ['class'],
  th: ['class', 'scope'], thead: [], tr: [], ul: [],
};
const FIXED = {
  class: /^(code|copy|wrap|language|lines|comment|string|number|keyword|math|table|center|right|loose|task|loose task)$/,
  href: /^(https?:\/\/|mailto:)[^\s"<>`]+$/, target: /^_blank$/, rel: /^noopener noreferrer nofollow$/,
  referrerpolicy: /^no-referrer$/, type: /^button$/, 'data-copy': /^code$/, 'data-wrap': /^$/, 'aria-pressed': /^false$/, tabindex: /^0$/, role: /^group$/,
  scope: /^col$/, start: /^\d{1,9}$/, dir: /^(auto|ltr)$/, 'aria-label': /^(Table|Code(: \S{1,40})?)$/, title: /^/, translate: /^no$/,
};

function assertHarmless(box) {
  for (const element of [...elements(box)].slice(1)) {
    const allowed = ALLOWED[element.localName];
    assert.ok(allowed, element.localName);
    for (const [name, value] of element.attributes) {
      assert.ok(name === 'dir' || allowed.includes(name), `${element.localName} ${name}`);
      assert.match(value, FIXED[name], `${element.localName} ${name}`);
    }
    const href = element.getAttribute('href');
    if (href) assert.match(new URL(href).protocol, /^(https?|mailto):$/);
  }
}

const AROUND = [
  ['- ', ''], ['> ', ''], ['| a |\n|---|\n| ', ' |'], ['[', '](https://a.b)'], ['**', '**'], ['# ', ''],
];

describe('injections', () => {
  test('are at least 220', () => assert.ok(new Set(INJECTIONS).size >= 220));

  test('stay text at any split', () => {
    for (const text of INJECTIONS) {
      const expected = whole(text);
      for (let at = 0; at < text.length; at += 1) {
        assert.equal(grown([text.slice(0, at), text.slice(at)], assertHarmless), expected, JSON.stringify(text));
      }
    }
  });

  test('stay text in lists, quotes, tables, links and emphasis', () => {
    for (const text of INJECTIONS) {
      for (const [before, after] of AROUND) {
        grown([before, ...text.match(/[^]{1,7}/g), after], assertHarmless);
      }
    }
  });

  test('do not change prototypes', () => {
    assert.equal({}.hacked, undefined);
    assert.equal(globalThis.hacked, undefined);
  });
});
