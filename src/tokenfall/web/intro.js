/**
 * The content of an empty conversation: the model that responds, and examples to send with one click.
 */

import { button, create, element, find } from './elements.js';
import { isSimulated } from './model_picker.js';

const LONG = 'A long response, to try Stop';

/** [label, question]; a question may have its own options (options.js). */
const SIMULATED = [
  ['A streamed response', { text: 'What does a streaming server do?' }],
  [LONG, { text: 'Give a long response.', options: { model: 'sim:tokens=600' } }],
  ['A failure in the middle', { text: 'Fail in the middle of the response.', options: { model: 'sim:fault=error@12' } }],
];
const FOR_MODEL = [
  ['A short explanation', { text: 'Explain server-sent events in three sentences.' }],
  [LONG, { text: 'Write a long and detailed history of the telegraph.' }],
  ['Code and a table', { text: 'Write a short Python function that parses server-sent events, and a table of the fields it handles.' }],
];

export class Intro {
  #box = find('#intro');
  #ask;
  #shown = '';

  /** @param ask called with { text, options } of the chosen example */
  constructor(ask) {
    this.#ask = ask;
  }

  /** @param chosen the conversation's model, undefined for the default; `defaults` is null until loaded */
  show(chosen, defaults) {
    const shown = JSON.stringify([chosen, defaults]);
    if (defaults === null || shown === this.#shown) return;
    this.#shown = shown;
    const model = chosen ?? defaults.model;
    const isSim = isSimulated(model) || !defaults.upstream;
    const examples = (isSim ? SIMULATED : FOR_MODEL).map(([label, question]) => this.#button(label, question));
    const box = create('div', { class: 'examples', role: 'group', 'aria-label': 'Examples' }, ...examples);
    this.#box.replaceChildren(...(isSim ? aboutSimulator(defaults) : aboutModel(model)), box);
  }

  #button(label, question) {
    const created = button('example', {}, label);
    created.addEventListener('click', () => this.#ask(question));
    return created;
  }
}

function aboutSimulator({ upstream }) {
  const what = element('p', '', element('strong', '', 'The simulator responds here.'), ' It streams filler text with configured timing. No model reads your messages.');
  if (upstream) return [what, element('p', 'hint', 'Choose another model below to get its responses.')];
  const line = element('code', '', 'GROQ_API_KEY=gsk_...');
  const other = element('code', '', 'UPSTREAM_URL=https://...');
  return [what, element('p', 'hint', 'For a real model, put ', line, ' into ', element('code', '', '.env'), ' and start the server again. ', other, ' takes any other OpenAI-compatible API.')];
}

function aboutModel(model) {
  const name = create('strong', { dir: 'auto' }, model || 'The upstream’s model');
  return [element('p', '', name, ' responds here.')];
}
