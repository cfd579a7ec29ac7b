import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';

import { asJSON, asMarkdown, download, fileName } from '../../src/tokenfall/web/exporting.js';
import { parse } from './whole.mjs';

const user = (content) => ({ role: 'user', content, turn: 'turn_1' });
const assistant = (content, more = {}) => ({ role: 'assistant', content, turn: 'turn_1', model: 'sim', ...more });

/** The kinds of the document's own blocks, in order. */
const kinds = (document) => parse(document).map(({ type }) => type);

describe('as Markdown', () => {
  test('a conversation has its title, and who said what', () => {
    const messages = [user('Hello?'), assistant('Large *language* models.'), user('Thanks.'), assistant('1. One')];
    assert.equal(
      asMarkdown('Holidays', messages),
      '# Holidays\n\n**You**\n\n> Hello?\n\n**sim**\n\nLarge *language* models.\n\n' +
        '**You**\n\n> Thanks.\n\n**sim**\n\n1. One\n',
    );
  });

  test('an empty one has its title', () => assert.equal(asMarkdown('Holidays', []), '# Holidays\n'));

  test('a model that is not known is left out', () => {
    assert.equal(asMarkdown('T', [assistant('a', { model: undefined })]), '# T\n\n**Assistant**\n\na\n');
  });

  test('an answer that is not whole says so', () => {
    assert.match(asMarkdown('T', [assistant('a', { status: 'interrupted' })]), /\n\na\n\n\*Interrupted\.\*\n$/);
    assert.doesNotMatch(asMarkdown('T', [assistant('a')]), /Interrupted/);
  });

  test('a role that the page does not know keeps its name and its words', () => {
    assert.equal(asMarkdown('T', [{ role: 'tool', content: 'a' }]), '# T\n\n**tool**\n\na\n');
  });

  test('each line of a question is quoted, blank ones too, so that nothing in it is a block of the document', () => {
    const question = '# Title\n\n- item\n\n```\ncode\n\n1. one\n---';
    const text = asMarkdown('T', [user(question), assistant('a')]);
    assert.deepEqual(kinds(text), ['heading', 'paragraph', 'quote', 'paragraph', 'paragraph']);
    assert.ok(text.includes('\n\n> # Title\n>\n> - item\n>\n> ```\n> code\n>\n> 1. one\n> ---\n\n'), text);
  });

  test('a line that ends with CRLF is one line', () => {
    const text = asMarkdown('T', [user('a\r\nb'), assistant('c')]);
    assert.deepEqual(text.split(/\r\n|\r|\n/).slice(4, 7), ['> a', '> b', '']);
  });

  test('a question of spaces alone is a quote', () => {
    assert.ok(asMarkdown('T', [user('')]).endsWith('\n\n>\n'));
  });

  for (const fence of ['```js', '~~~~', '> ```', '```\na\n```\n\n````md', '````md\n```js\n```', '```md\n```js', '~~~\n```']) {
    for (const end of [{ status: 'interrupted' }, { finish_reason: 'length' }]) {
      test(`what follows an answer that broke off after ${JSON.stringify(fence)} is not code: ${Object.values(end)}`, () => {
        const broken = assistant(`Look:\n\n${fence}\nconst a = 1;`, end);
        const said = kinds(asMarkdown('T', [user('a'), broken, user('b'), assistant('c')]));
        assert.deepEqual(said.slice(-4), ['paragraph', 'quote', 'paragraph', 'paragraph']);
      });
    }
  }

  test('a title is one line', () => {
    assert.deepEqual(kinds(asMarkdown('a\n\n- b', [])), ['heading']);
  });

  test('an answer is as it was, with its own spaces and line ends', () => {
    const content = '# a  \n\n    b\n\n\n| c |\n|---|\n';
    assert.ok(asMarkdown('T', [assistant(content)]).endsWith(`\n\n${content}\n`));
  });
});

describe('as JSON', () => {
  test('a conversation is as the server said it', () => {
    const messages = [user('Hello?'), assistant('"<b>"\u2028', { status: 'interrupted', ttft_s: 0.1 })];
    const text = asJSON('chat-1', 'Holidays', messages);
    assert.deepEqual(JSON.parse(text), { conversation: 'chat-1', title: 'Holidays', messages });
    assert.ok(text.endsWith('}\n'));
  });
});

describe('a file’s name', () => {
  const NAMES = [
    ['Holidays', 'Holidays.md'],
    ['What is a KV cache?', 'What-is-a-KV-cache.md'],
    ['../../etc/passwd', 'etc-passwd.md'],
    ['a\\b:c*d?e"f<g>h|i', 'a-b-c-d-e-f-g-h-i.md'],
    ['.hidden', 'hidden.md'],
    ['', 'conversation.md'],
    ['???', 'conversation.md'],
    ['…?!', 'conversation.md'],
    ['Grüße: 1/2 \\ *?', 'Grüße-1-2.md'],
    ['שלום עולם', 'שלום-עולם.md'],
    ['tab\tand\nline\0end', 'tab-and-line-end.md'],
    ['ﬁne ½', 'fine-1-2.md'],
    ['Grüße aus Łódź', 'Grüße-aus-Łódź.md'],
    ['日本語の質問', '日本語の質問.md'],
    ['हिन्दी में', 'हिन्दी-में.md'],
    ['ภาษาไทยที่นี่', 'ภาษาไทยที่นี่.md'.normalize('NFKC')],
    ['\u202egpj.exe', 'gpj-exe.md'],
  ];
  for (const [title, name] of NAMES) {
    test(`of ${JSON.stringify(title)}`, () => assert.equal(fileName(title, 'md'), name));
  }

  test('is not endless, and ends as it should', () => {
    assert.equal(fileName('x'.repeat(500), 'json'), `${'x'.repeat(60)}.json`);
    assert.equal(fileName(`${'x'.repeat(59)} y`, 'md'), `${'x'.repeat(59)}.md`);
  });

  test('has no half of a character', () => {
    assert.doesNotThrow(() => encodeURIComponent(fileName(`x${'𠮷'.repeat(60)}`, 'md')));
    assert.match(fileName(`a${'𠀀'.repeat(100)}`, 'md'), /^a𠀀{20,60}\.md$/u);
  });
});

describe('a download', () => {
  const { createObjectURL, revokeObjectURL } = URL;
  const { setTimeout } = globalThis;
  let link;
  let given; // blobs
  let gone; // addresses
  let timers;

  beforeEach(() => {
    [given, gone, timers] = [[], [], []];
    link = { clicks: 0, click: () => (link.clicks += 1) };
    globalThis.document = { createElement: (tag) => (assert.equal(tag, 'a'), link) };
    URL.createObjectURL = (blob) => `blob:${given.push(blob)}`;
    URL.revokeObjectURL = (address) => gone.push(address);
    globalThis.setTimeout = (act, ms) => timers.push({ act, ms });
  });

  afterEach(() => {
    Object.assign(URL, { createObjectURL, revokeObjectURL });
    Object.assign(globalThis, { setTimeout });
    delete globalThis.document;
  });

  test('hands the text to the browser under its name, once', async () => {
    download('Grüße', 'a.md', 'text/markdown');
    const [blob] = given;
    assert.deepEqual([blob.type, await blob.text()], ['text/markdown', 'Grüße']);
    assert.deepEqual([link.href, link.download, link.clicks], ['blob:1', 'a.md', 1]);
  });

  test('is kept until the browser has asked where to put it, and not for ever', () => {
    download('a', 'a.md', 'text/markdown');
    assert.deepEqual([gone, timers.length], [[], 1]);
    assert.ok(timers[0].ms >= 30_000);
    timers[0].act();
    assert.deepEqual(gone, ['blob:1']);
  });
});
