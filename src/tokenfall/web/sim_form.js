/**
 * The form for the simulator's default grammar: shows what holds, puts another in its place, or the first one back.
 *
 * It must never change what the reader typed, check the grammar itself, or try again by itself: the server knows
 * its grammar, and its words about a mistake stand beside the field.
 */

import { Failure } from './failures.js';
import { request } from './request.js';

const find = (id) => document.querySelector(id);
const ONE_WORKER = /WORKERS=1/;

export class SimForm {
  #keys;
  #form = find('#sim-form');
  #field = find('#sim');
  #error = find('#sim-error');
  #status = find('#sim-status');
  #shown = ''; // what was put into the field last, by us

  constructor(keys) {
    this.#keys = keys;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#try(() => this.#apply());
    });
    find('#sim-reset').addEventListener('click', () => this.#try(() => this.#reset()));
    find('#sim-chips').addEventListener('click', ({ target }) => {
      if (target.dataset.sim === undefined) return;
      this.#field.value = target.dataset.sim;
      this.#tell('', '');
      this.#field.focus();
    });
    this.#field.addEventListener('input', () => this.#tell('', ''));
  }

  /** Reads what holds, into the field unless the reader is writing there. */
  async load() {
    try {
      const untouched = this.#field.value === this.#shown;
      const { sim } = await this.#ask({});
      if (untouched) this.#show(sim);
    } catch (failure) {
      this.#fail(failure);
    }
  }

  /** Switches the form off for good, where each worker would know only what it was told itself. */
  forbid(words) {
    if (this.#field.disabled) return;
    for (const control of this.#form.elements) control.disabled = true;
    this.#tell(words, '');
  }

  async #apply() {
    const { sim } = await this.#ask({
      method: 'PUT',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ sim: this.#field.value.trim() }),
    });
    this.#show(sim);
    this.#tell('', 'Holds for streams that begin from now on.');
  }

  async #reset() {
    await this.#ask({ method: 'DELETE' });
    this.#show((await this.#ask({})).sim);
    this.#tell('', 'As it was at the start.');
  }

  async #ask(init) {
    const response = await request(this.#keys, 'sim', init);
    if (response.status === 204) return null;
    const said = await response.json().catch(() => null);
    if (typeof said?.sim !== 'string') throw new Failure('unexpected');
    return said;
  }

  async #try(change) {
    if (this.#form.ariaBusy === 'true') return;
    this.#form.ariaBusy = 'true';
    this.#tell('', '');
    try {
      await change();
    } catch (failure) {
      this.#fail(failure);
    }
    this.#form.ariaBusy = 'false';
  }

  #fail(failure) {
    if (!(failure instanceof Failure)) console.error(failure);
    const words = (failure.status === 400 && failure.detail) || failure.words || 'This page made a mistake. Reload it.';
    if (ONE_WORKER.test(failure.detail)) this.forbid(words);
    else this.#tell(words, '', failure.status === 400);
  }

  #show(sim) {
    this.#shown = sim;
    this.#field.value = sim;
  }

  #tell(error, status, isOfField = false) {
    this.#error.textContent = error;
    this.#status.textContent = status;
    this.#field.setAttribute('aria-invalid', String(isOfField));
  }
}
