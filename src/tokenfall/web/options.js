/**
 * The options of a conversation: { model, system, temperature, max_tokens }, each optional.
 *
 * Stored on this device for the MAX_CONVERSATIONS whose options were changed last. It must never touch the DOM.
 */

import { readDevice, writeDevice } from './device_storage.js';
import { hashOf } from './hash.js';

const NAME = 'options';
const MAX_CONVERSATIONS = 100;
const MAX_SYSTEM = 8000;
const MAX_TOKENS = 1_000_000;

/** Options by conversation; the last changed are at the end. */
function stored() {
  try {
    return new Map(JSON.parse(readDevice(NAME) || '[]'));
  } catch {
    return new Map();
  }
}

function store(all) {
  const newest = [...all].slice(-MAX_CONVERSATIONS);
  writeDevice(NAME, newest.length > 0 ? JSON.stringify(newest) : '');
}

export function optionsOf(conversation) {
  return stored().get(conversation) ?? {};
}

/** Changes options of a conversation; null removes one. */
export function setOptions(conversation, changes) {
  const all = stored();
  const options = Object.entries({ ...all.get(conversation), ...changes }).filter(([, value]) => value !== null);
  all.delete(conversation);
  if (options.length > 0) all.set(conversation, Object.fromEntries(options));
  store(all);
}

export function dropOptions(conversation) {
  const all = stored();
  if (all.delete(conversation)) store(all);
}

/** The fields of `POST /chat` for a question with these options. */
export function fieldsOf(question, { system, ...fields }) {
  const messages = [{ role: 'user', content: question }];
  if (system) messages.unshift({ role: 'system', content: system });
  return { messages, ...fields };
}

/** The idempotency key of a question with these options: different options make a different request. */
export function keyWith(key, options) {
  const text = JSON.stringify(options);
  return text === '{}' ? key : `${key}/${hashOf(text)}`;
}

/** The options except the model, as text; empty if there are none. */
export function describeOptions({ system, temperature, max_tokens: limit }) {
  const parts = [
    system && 'system prompt',
    temperature !== undefined && `temperature ${temperature}`,
    limit !== undefined && `limit ${limit}`,
  ];
  return parts.filter(Boolean).join(', ');
}

/** Parsers of the fields' texts: { value }, null for an empty field, or { error }, a message. */
export const READ = {
  system(text) {
    const { length } = text.trim();
    if (length > MAX_SYSTEM) return { error: `At most ${MAX_SYSTEM} characters; this has ${length}.` };
    return { value: length > 0 ? text.trim() : null };
  },
  temperature(text) {
    return numberIn(text, /^(\d+[.,]?\d*|[.,]\d+)$/, { min: 0, max: 2, expected: 'A number from 0 to 2, for example 0.7.' });
  },
  max_tokens(text) {
    return numberIn(text, /^\d+$/, { min: 1, max: MAX_TOKENS, expected: `A whole number from 1 to ${MAX_TOKENS}.` });
  },
};

function numberIn(text, pattern, { min, max, expected }) {
  const trimmed = text.trim();
  if (trimmed === '') return { value: null };
  const value = Number(trimmed.replace(',', '.'));
  return pattern.test(trimmed) && value >= min && value <= max ? { value } : { error: expected };
}
