/** Each stream is decoded whole, byte by byte, and split at every position, with the same events. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { SSEDecoder } from '../../src/tokenfall/web/sse.js';

const bytesOf = (text) => new TextEncoder().encode(text);
const EMPTY = new Uint8Array();

/** The events of a stream read in these chunks, as types and data. */
function decoded(pieces) {
  const decoder = new SSEDecoder();
  return pieces.flatMap((piece) => decoder.push(piece)).map(({ type, data }) => ({ type, data }));
}

/** The ways to split `bytes`: [description, chunks]. */
function* waysToRead(bytes) {
  yield ['whole', [bytes]];
  yield ['byte by byte', Array.from(bytes, (byte) => Uint8Array.of(byte))];
  yield ['byte by byte, with empty reads between', Array.from(bytes, (byte) => [EMPTY, Uint8Array.of(byte)]).flat()];
  for (let at = 1; at < bytes.length; at += 1) {
    yield [`cut at byte ${at}`, [bytes.subarray(0, at), bytes.subarray(at)]];
  }
}

function assertDecodes(stream, expected) {
  const bytes = typeof stream === 'string' ? bytesOf(stream) : stream;
  for (const [how, pieces] of waysToRead(bytes)) assert.deepEqual(decoded(pieces), expected, how);
}

const message = (data, type = 'message') => ({ type, data });

const STREAMS = {
  'nothing gives nothing': ['', []],
  'one event': ['data: hello\n\n', [message('hello')]],
  'events in a row': ['data: 1\n\ndata: 2\n\ndata: 3\n\n', [message('1'), message('2'), message('3')]],
  'a chunk of JSON and the end': [
    'data: {"content":"a: b"}\n\ndata: [DONE]\n\n',
    [message('{"content":"a: b"}'), message('[DONE]')],
  ],

  'LF ends a line': ['event: a\ndata: x\n\n', [message('x', 'a')]],
  'CR ends a line': ['event: a\rdata: x\r\r', [message('x', 'a')]],
  'CRLF ends a line, once': ['event: a\r\ndata: x\r\n\r\n', [message('x', 'a')]],
  'line ends may be mixed': [
    'data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r\ndata: 4\n\r',
    [message('1'), message('2'), message('3'), message('4')],
  ],
  'CR before a field is no CRLF': ['data: 1\rdata: 2\r\n\r', [message('1\n2')]],
  'no other character ends a line': ['data: a\u2028b\u0085c\vd\fe\n\n', [message('a\u2028b\u0085c\vd\fe')]],

  'data of several lines is joined by LF': ['data: a\ndata: b\ndata: c\n\n', [message('a\nb\nc')]],
  'an empty line of data counts': ['data: a\ndata:\ndata: b\n\n', [message('a\n\nb')]],
  'a field without a colon is empty': ['data\n\n', [message('')]],
  'two of them are a line end': ['data\ndata\n\n', [message('\n')]],
  'one space after the colon goes': ['data:a\n\ndata: b\n\ndata:  c\n\n', [message('a'), message('b'), message(' c')]],
  'a tab stays': ['data:\ta\n\n', [message('\ta')]],
  'other colons stay': ['data::a:b\n\n', [message(':a:b')]],
  'spaces at the end stay': ['data: a  \n\n', [message('a  ')]],

  'an event has the type that it names last': ['event: a\nevent: b\ndata: x\n\n', [message('x', 'b')]],
  'a type holds for one event': ['event: a\ndata: 1\n\ndata: 2\n\n', [message('1', 'a'), message('2')]],
  'an empty type is no type': ['event: a\nevent:\ndata: x\n\n', [message('x')]],
  'the type may come after the data': ['data: x\nevent: error\n\n', [message('x', 'error')]],
  'a type without data is dropped, and forgotten': ['event: a\n\ndata: x\n\n', [message('x')]],

  'comments say nothing': [': ping\n\n:\n:data: no\n\ndata: x\n\n', [message('x')]],
  'a comment does not break an event': ['data: a\n: ping\ndata: b\n\n', [message('a\nb')]],
  'fields of other names say nothing': ['retry: 5\nDATA: no\n data: no\ndatas: no\nid: 1\ndata: x\n\n', [message('x')]],
  'blank lines give nothing': ['\n\n\r\n\r\rdata: x\n\n\n\n', [message('x')]],

  'an event whose blank line is missing is not handed out': ['data: 1\n\ndata: 2\n', [message('1')]],
  'nor one whose line has not ended': ['data: 1\n\ndata: 2', [message('1')]],

  'a leading byte order mark is dropped': ['\uFEFFdata: x\n\n', [message('x')]],
  'only one, and only there': ['\uFEFF\uFEFFdata: no\ndata: \uFEFFx\n\n', [message('\uFEFFx')]],
  'characters of one to four bytes': ['data: aß€𝄞👩‍👩‍👧\n\ndata: ✓\n\n', [message('aß€𝄞👩‍👩‍👧'), message('✓')]],
  'NUL is a character': ['data: a\0b\n\n', [message('a\0b')]],
};

describe('a stream, at any split', () => {
  for (const [name, [stream, expected]] of Object.entries(STREAMS)) test(name, () => assertDecodes(stream, expected));
});

const IDS = {
  'there is none at first': ['data: x\n\n', ['']],
  'an event has its own': ['id: 1\ndata: x\n\nid: 2\ndata: y\n\n', ['1', '2']],
  'it may come after the data': ['data: x\nid: 1\n\n', ['1']],
  'it stays until another comes': ['id: 1\ndata: x\n\ndata: y\n\nid: 2\ndata: z\n\n', ['1', '1', '2']],
  'an empty one takes it back': ['id: 1\ndata: x\n\nid\ndata: y\n\nid: 2\ndata: z\n\nid:\ndata: w\n\n', ['1', '', '2', '']],
  'an event without data leaves its own': ['id: 1\n\ndata: x\n\n', ['1']],
  'one with NUL is none': ['id: 1\nid: 2\0\ndata: x\n\n', ['1']],
  'it is text as it came': ['id:  turn-1:ü \ndata: x\n\n', [' turn-1:ü ']],
};

describe('the last event id', () => {
  for (const [name, [stream, expected]] of Object.entries(IDS)) {
    test(name, () => {
      for (const [how, pieces] of waysToRead(bytesOf(stream))) {
        const decoder = new SSEDecoder();
        assert.deepEqual(pieces.flatMap((piece) => decoder.push(piece)).map(({ id }) => id), expected, how);
      }
    });
  }
});

test('invalid UTF-8 becomes replacement characters and affects no other event', () => {
  const bytes = Uint8Array.of(...bytesOf('data: a'), 0xff, ...bytesOf('b'), 0xe2, 0x82, ...bytesOf('\n\ndata: c\n\n'));
  assertDecodes(bytes, [message('a\uFFFDb\uFFFD'), message('c')]);
});

test('an event is dispatched with the chunk that contains its blank line', () => {
  const decoder = new SSEDecoder();
  assert.deepEqual(decoder.push(bytesOf('data: 1\n')), []);
  assert.deepEqual(decoder.push(bytesOf('\ndata: 2\n\nda')).map(({ data }) => data), ['1', '2']);
  assert.deepEqual(decoder.push(bytesOf('ta: 3\r')), []);
  assert.deepEqual(decoder.push(bytesOf('\r')).map(({ data }) => data), ['3']);
});

test('the LF of a split CRLF is no blank line', () => {
  const decoder = new SSEDecoder();
  assert.deepEqual(decoder.push(bytesOf('data: 1\r')), []);
  assert.deepEqual(decoder.push(EMPTY), []);
  assert.deepEqual(decoder.push(bytesOf('\n')), []);
  assert.deepEqual(decoder.push(bytesOf('\n')).map(({ data }) => data), ['1']);
});

test('a long stream in chunks of every small size', () => {
  const words = Array.from({ length: 200 }, (_, number) => `wörd ${number} 🌧`);
  const bytes = bytesOf(words.map((word) => `event: token\r\ndata: ${word}\r\n\r\n`).join(''));
  const expected = words.map((word) => message(word, 'token'));
  for (let size = 1; size <= 64; size += 1) {
    const count = Math.ceil(bytes.length / size);
    const pieces = Array.from({ length: count }, (_, number) => bytes.subarray(number * size, (number + 1) * size));
    assert.deepEqual(decoded(pieces), expected, `pieces of ${size} bytes`);
  }
});
