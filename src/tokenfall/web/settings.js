/**
 * The controls for the model and options of a conversation, and the examples of an empty one.
 *
 * It must never send a question itself. Before the server has responded, it offers only built-in choices.
 */

import { find } from './elements.js';
import { asFailure } from './failures.js';
import { Intro } from './intro.js';
import { isSimulated, ModelPicker } from './model_picker.js';
import { describeOptions, optionsOf, setOptions } from './options.js';
import { askForOptions } from './options_dialog.js';

export class Settings {
  #api;
  #onChange;
  #conversation = '';
  #settings = find('#settings');
  #picker;
  #intro;
  #defaults = null; // until the server has sent them
  #models = []; // of the upstream
  #isRequested = false; // the defaults were requested, without a failure

  /** @param parts api; ask(question) sends an example; onChange(): an option has changed */
  constructor({ api, ask, onChange }) {
    this.#api = api;
    this.#onChange = onChange;
    this.#intro = new Intro(ask);
    this.#picker = new ModelPicker((model) => {
      setOptions(this.#conversation, { model });
      this.#show();
    });
    this.#settings.addEventListener('click', () => this.#change());
  }

  /** Shows the settings of another conversation. */
  open(conversation) {
    this.#conversation = conversation;
    this.#show();
  }

  /** Loads the defaults and the models once; the next call retries if the defaults could not be loaded. */
  load() {
    if (this.#isRequested) return;
    this.#isRequested = true;
    this.#load().catch((error) => {
      asFailure(error);
      this.#isRequested = false;
    });
  }

  async #load() {
    this.#defaults = await this.#api.defaults();
    this.#show();
    if (!this.#defaults.upstream) return;
    this.#models = await this.#api.models().catch((error) => {
      asFailure(error);
      return []; // not retried at each turn
    });
    const [only, ...more] = this.#models.filter((model) => !isSimulated(model));
    if (!this.#defaults.model && more.length === 0) this.#defaults.model = only ?? '';
    this.#show();
  }

  async #change() {
    const conversation = this.#conversation;
    const changes = await askForOptions(optionsOf(conversation), this.#defaults);
    if (changes) setOptions(conversation, changes);
    this.#show();
    if (changes) this.#onChange();
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
