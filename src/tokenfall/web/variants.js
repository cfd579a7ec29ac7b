/**
 * The responses to a regenerated question: one is shown, with its number, for example "2 / 3". The model gets the last.
 *
 * A response is a function that creates its element once.
 */

import { button, create, element } from './elements.js';

const MAX_RESPONSES = 5; // the server's limit
const OUTSIDE = ['data-forgotten', 'data-outside']; // of a turn that the model will not get
const all = new WeakMap(); // by element: the responses to its question, oldest first

/** Creates the element on first use. */
export function lazy(make) {
  let created = null;
  return () => (created ??= make());
}

/** All responses to the question of `response`, oldest first. */
export function responsesTo(response) {
  return all.get(response) ?? [() => response];
}

/** Adds the `earlier` responses to the same question to `response`, which is shown. */
export function addVariants(earlier, response) {
  const responses = [...earlier, () => response].slice(-MAX_RESPONSES);
  mark(responses, responses.length - 1);
}

function mark(responses, place) {
  const response = responses[place]();
  const isEarlier = place < responses.length - 1;
  all.set(response, responses);
  response.querySelector('.variants')?.remove();
  response.toggleAttribute('data-earlier', isEarlier);
  if (responses.length > 1) response.querySelector('.actions').prepend(switcher(responses, place, isEarlier));
}

function switcher(responses, place, isEarlier) {
  const number = element('span', 'place', `${place + 1} / ${responses.length}`);
  const attributes = { class: 'variants', role: 'group', 'aria-label': 'Responses to this message' };
  const box = create('div', attributes, step('Previous response', '‹', place - 1), number, step('Next response', '›', place + 1));
  if (isEarlier) box.append(element('span', 'ended', 'Earlier response, not sent to the model'));
  return box;

  function step(label, sign, to) {
    const created = button('action', { 'aria-label': label, 'aria-disabled': !(to in responses) }, sign);
    created.addEventListener('click', () => to in responses && show(responses, { from: place, to, label }));
    return created;
  }
}

function show(responses, { from, to, label }) {
  const [now, next] = [responses[from](), responses[to]()];
  mark(responses, to);
  next.dataset.turn = now.dataset.turn; // both belong to the same turn
  for (const name of OUTSIDE) next.toggleAttribute(name, now.hasAttribute(name));
  next.hidden = false;
  now.replaceWith(next);
  next.querySelector(`[aria-label="${label}"]`).focus();
}
