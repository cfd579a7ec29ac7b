/**
 * Exports a conversation as Markdown or JSON. It must never omit text, or export an incomplete response as complete.
 */

import { describeEnd, endOf, stateOf } from './response_end.js';

const NAMES = { user: 'You', assistant: 'Assistant' };
const REVOKE_AFTER_MS = 60_000;
const MAX_NAME = 60;

/** Messages as Markdown. Questions are block quotes, so that their headings do not structure the document. */
export function asMarkdown(title, messages) {
  const parts = messages.map((message) => {
    const who = `**${message.model || (NAMES[message.role] ?? message.role)}**`;
    const text = message.role === 'user' ? quoted(message.content) : closed(message.content);
    const end = message.role === 'assistant' ? describeEnd(stateOf(message), endOf(message)) : '';
    return `${who}\n\n${text}${end ? `\n\n*${end}.*` : ''}\n`;
  });
  return [`# ${title.replace(/\s+/g, ' ')}\n`, ...parts].join('\n');
}

function quoted(text) {
  return text.replace(/\r\n?/g, '\n').replace(/^/gm, '> ').replace(/ +$/gm, '');
}

/** Closes an unclosed code block at the end. */
function closed(text) {
  let fence = '';
  for (const [, marks, info] of text.matchAll(/^ {0,3}(`{3,}|~{3,})(.*)$/gm)) {
    if (fence === '') fence = marks;
    else if (marks.startsWith(fence) && info.trim() === '') fence = '';
  }
  return fence ? `${text}\n${fence}` : text;
}

export function asJSON(id, title, messages) {
  return `${JSON.stringify({ conversation: id, title, messages }, null, 2)}\n`;
}

/** A name that is valid on every file system. */
export function fileName(title, extension) {
  const plain = title.normalize('NFKC').replace(/[^\p{L}\p{M}\p{N}]+/gu, '-').replace(/^-/, '');
  const short = Array.from(plain).slice(0, MAX_NAME).join('').replace(/-$/, '');
  return `${short || 'conversation'}.${extension}`;
}

/** Downloads `text` as a file. */
export function download(text, name, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), REVOKE_AFTER_MS); // the browser may first ask where to save it
}
