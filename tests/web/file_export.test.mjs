import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';

import { asJSON, asMarkdown, download, fileName } from '../../src/tokenfall/web/file_export.js';
import { parse } from './render_whole.mjs';

const user = (content) => ({ role: 'user', content, turn: 'turn_1' });
const assistant = (content, more = {}) => ({ role: 'assistant', content, turn: 'turn_1', model: 'sim', ...more });

/** The types of the top-level blocks, in order. */
const kinds = (document) => parse(document).map(({ type }) => type);

describe('Markdown export', () => {
  test('contains the title, and the role of each message', () => {
    const messages = [user('Hello?'), assistant('Large *language* models.'), user('Thanks.'), assistant('1. One')];
    assert.equal(
      asMarkdown('Holidays', messages),
      '# Holidays\n\n**You**\n\n> Hello?\n\n**sim**\n\nLarge *language* models.\n\n' +
        '**You**\n\n> Thanks.\n\n**sim**\n\n1. One\n',
    );
  });

  test('of an empty conversation contains the title', () => assert.equal(asMarkdown('Holidays', []), '# Holidays\n'));

  test('omits an unknown model', () => {
    assert.equal(asMarkdown('T', [assistant('a', { model: undefined })]), '# T\n\n**Assistant**\n\na\n');
  });

  test('marks an incomplete response', () => {
    assert.match(asMarkdown('T', [assistant('a', { status: 'interrupted' })]), /\n\na\n\n\*Interrupted\.\*\n$/);
    assert.doesNotMatch(asMarkdown('T', [assistant('a')]), /Interrupted/);
  });

  test('keeps the name and text of an unknown role', () => {
    assert.equal(asMarkdown('T', [{ role: 'tool', content: 'a' }]), '# T\n\n**tool**\n\na\n');
  });

  test('quotes each line of a question, including blank lines', () => {
    const question = '# Title\n\n- item\n\n```\ncode\n\n1. one\n---';
    const text = asMarkdown('T', [user(question), assistant('a')]);
    assert.deepEqual(kinds(text), ['heading', 'paragraph', 'quote', 'paragraph', 'paragraph']);
    assert.ok(text.includes('\n\n> # Title\n>\n> - item\n>\n> ```\n> code\n>\n> 1. one\n> ---\n\n'), text);
  });

  test('treats CRLF as one line end', () => {
    const text = asMarkdown('T', [user('a\r\nb'), assistant('c')]);
    assert.deepEqual(text.split(/\r\n|\r|\n/).slice(4, 7), ['> a', '> b', '']);
  });

  test('quotes a question of spaces only', () => {
    assert.ok(asMarkdown('T', [user('')]).endsWith('\n\n>\n'));
  });

  for (const fence of ['```js', '~~~~', '> ```', '```\na\n```\n\n````md', '````md\n```js\n```', '```md\n```js', '~~~\n```']) {
    for (const end of [{ status: 'interrupted' }, { finish_reason: 'length' }]) {
      test(`what follows an answer that broke off after ${JSON.stringify(fence)} is not code: ${Object.values(end)}`, () => {
        const broken = assistant(`Look:\n\n${fence}\nconst a = 1;`, end);
        const blocks = kinds(asMarkdown('T', [user('a'), broken, user('b'), assistant('c')]));
        assert.deepEqual(blocks.slice(-4), ['paragraph', 'quote', 'paragraph', 'paragraph']);
      });
    }
  }

  test('writes the title in one line', () => {
    assert.deepEqual(kinds(asMarkdown('a\n\n- b', [])), ['heading']);
  });

  test('keeps whitespace and line ends of a response', () => {
    const content = '# a  \n\n    b\n\n\n| c |\n|---|\n';
    assert.ok(asMarkdown('T', [assistant(content)]).endsWith(`\n\n${content}\n`));
  });
});

describe('JSON export', () => {
  test('contains the messages as the server sent them', () => {
    const messages = [user('Hello?'), assistant('"<b>"\u2028', { status: 'interrupted', ttft_s: 0.1 })];
    const text = asJSON('chat-1', 'Holidays', messages);
    assert.deepEqual(JSON.parse(text), { conversation: 'chat-1', title: 'Holidays', messages });
    assert.ok(text.endsWith('}\n'));
  });
});

describe('a file name', () => {
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

  test('is limited in length and keeps its suffix', () => {
    assert.equal(fileName('x'.repeat(500), 'json'), `${'x'.repeat(60)}.json`);
    assert.equal(fileName(`${'x'.repeat(59)} y`, 'md'), `${'x'.repeat(59)}.md`);
  });

  test('contains no lone surrogate', () => {
    assert.doesNotThrow(() => encodeURIComponent(fileName(`x${'𠮷'.repeat(60)}`, 'md')));
    assert.match(fileName(`a${'𠀀'.repeat(100)}`, 'md'), /^a𠀀{20,60}\.md$/u);
  });
});

describe('a download', () => {
  const { createObjectURL, revokeObjectURL } = URL;
  const { setTimeout } = globalThis;
  let link;
  let given; // the blobs of created object URLs
  let gone; // revoked object URLs
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

  test('passes the text to the browser once, with its file name', async () => {
    download('Grüße', 'a.md', 'text/markdown');
    const [blob] = given;
    assert.deepEqual([blob.type, await blob.text()], ['text/markdown', 'Grüße']);
    assert.deepEqual([link.href, link.download, link.clicks], ['blob:1', 'a.md', 1]);
  });

  test('revokes the object URL after 30 seconds or more', () => {
    download('a', 'a.md', 'text/markdown');
    assert.deepEqual([gone, timers.length], [[], 1]);
    assert.ok(timers[0].ms >= 30_000);
    timers[0].act();
    assert.deepEqual(gone, ['blob:1']);
  });
});
