/**
 * A conversation as a file: Markdown for people, JSON for programs. The documents are made without a page.
 *
 * It must never omit text, or export an incomplete response without saying so.
 */

import { describeEnd, endOf, stateOf } from './response_end.js';

const NAMES = { user: 'You', assistant: 'Assistant' };
const KEPT_MS = 60_000;
const MOST_CHARACTERS = 60; // of a file's name

/** Messages as Markdown; a question is quoted, so that headings in it stay its own. */
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

/** Closes a code block in which the response ended. */
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

/** A name that every file system takes. */
export function fileName(title, extension) {
  const plain = title.normalize('NFKC').replace(/[^\p{L}\p{M}\p{N}]+/gu, '-').replace(/^-/, '');
  const short = Array.from(plain).slice(0, MOST_CHARACTERS).join('').replace(/-$/, '');
  return `${short || 'conversation'}.${extension}`;
}

/** Hands `text` to the browser as a file. */
export function download(text, name, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), KEPT_MS); // the browser may first ask for a place
}
