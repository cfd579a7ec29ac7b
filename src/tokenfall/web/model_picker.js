/**
 * The list of models: the server's default, the upstream's models, and the simulator with timing profiles.
 *
 * It must never drop the chosen model because it is not listed: only the server knows whether it exists.
 */

import { element, find } from './elements.js';

/** Timing profiles of the simulator; see docs/api.md, "The simulator's grammar". */
const PROFILES = ['groq-70b', 'gpt-4o', 'claude-sonnet', 'llama-70b-dedicated', 'llama-8b-laptop'];

/** Whether a model is simulated. */
export function isSimulated(model) {
  return model === 'sim' || model.startsWith('sim:');
}

/** The choices as [group, [[model, label], ...]], where the model '' is the server's default. */
export function choices(chosen, defaults, models) {
  const simulated = ['sim', ...PROFILES.map((profile) => `sim:profile=${profile}`)];
  const groups = [
    ['', ['']],
    ['Models', models.filter((model) => !isSimulated(model))],
    ['Simulator', simulated.filter((model) => model !== defaults?.model)],
  ];
  if (!groups.some(([, names]) => names.includes(chosen))) groups[0][1].push(chosen);
  return groups
    .filter(([, names]) => names.length > 0)
    .map(([group, names]) => [group, names.map((model) => [model, labelOf(model, defaults)])]);
}

function labelOf(model, defaults) {
  if (model === '') return defaults?.model ? `${defaults.model} (default)` : 'Default model';
  return model.startsWith('sim:profile=') ? `sim as ${model.slice('sim:profile='.length)}` : model;
}

export class ModelPicker {
  #select = find('#model');
  #shown = '';

  /** @param onChoice called with a model, null for the server's default */
  constructor(onChoice) {
    this.#select.addEventListener('change', () => onChoice(this.#select.value || null));
  }

  show(chosen, defaults, models) {
    const groups = choices(chosen, defaults, models);
    const shown = JSON.stringify(groups);
    if (shown !== this.#shown) this.#select.replaceChildren(...groups.flatMap(optionsOf)); // a change closes an open list
    this.#shown = shown;
    this.#select.value = chosen;
    this.#select.title = this.#select.selectedOptions[0].textContent;
  }
}

function optionsOf([group, named]) {
  const options = named.map(([model, label]) => new Option(label, model));
  if (!group) return options;
  const created = element('optgroup', '', ...options);
  created.label = group;
  return [created];
}
