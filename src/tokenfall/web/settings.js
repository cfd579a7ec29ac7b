/**
 * The controls for the model and settings of a conversation, and the examples of an empty one.
 *
 * It must never send a question itself. Until the server has responded, it offers the choices that the page knows.
 */

import { asFailure } from './failures.js';
import { Intro } from './intro.js';
import { isSimulated, ModelPicker } from './model_picker.js';
import { describeOptions, dropOptions, optionsOf, setOptions } from './options.js';
import { askForOptions } from './options_dialog.js';

export class Settings {
  #api;
  #conversation = '';
  #settings = document.querySelector('#settings');
  #picker;
  #intro;
  #defaults = null; // until the server has sent them
  #models = []; // the upstream's
  #loading = null;

  /** @param parts api; ask(question), which asks an example */
  constructor({ api, ask }) {
    this.#api = api;
    this.#intro = new Intro(ask);
    this.#picker = new ModelPicker((model) => this.#set({ model }));
    this.#settings.addEventListener('click', () => this.#change());
  }

  /** Shows the settings of another conversation. */
  open(conversation) {
    this.#conversation = conversation;
    this.#show();
  }

  /** Loads the default and the list of models, once; tried again if the defaults cannot be loaded. */
  load() {
    this.#loading ??= this.#load().catch((error) => {
      asFailure(error);
      this.#loading = null;
    });
    return this.#loading;
  }

  drop(conversation) {
    dropOptions(conversation);
  }

  async #load() {
    this.#defaults = await this.#api.defaults();
    this.#show();
    if (!this.#defaults.upstream) return;
    this.#models = await this.#api.models().catch((error) => {
      asFailure(error);
      return []; // the picker offers what it knows; the list is not asked for at every turn
    });
    const [only, ...more] = this.#models.filter((model) => !isSimulated(model));
    if (!this.#defaults.model && more.length === 0) this.#defaults.model = only ?? '';
    this.#show();
  }

  #set(changes) {
    setOptions(this.#conversation, changes);
    this.#show();
  }

  async #change() {
    const conversation = this.#conversation;
    const changes = await askForOptions(optionsOf(conversation), this.#defaults?.max_tokens);
    if (changes) setOptions(conversation, changes);
    this.#show();
  }

  #show() {
    const options = optionsOf(this.#conversation);
    const changed = describeOptions(options);
    this.#settings.textContent = changed ? `Settings: ${changed}` : 'Settings';
    this.#settings.toggleAttribute('data-set', changed !== '');
    this.#picker.show(options.model ?? '', this.#defaults, this.#models);
    this.#intro.show(options.model, this.#defaults);
  }
}
