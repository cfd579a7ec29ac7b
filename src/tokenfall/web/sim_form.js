/**
 * The form for the simulator's default grammar: says what holds, puts another in its place, or the first one back.
 *
 * The field follows what holds until somebody writes in it. It must never change what the reader typed, check the grammar
 * itself, or try again by itself: the server knows its grammar, and its words about a mistake stand beside the field.
 */

import { wordsFor } from './board_words.js';
import { Failure } from './failures.js';
import { request } from './request.js';

const find = (id) => document.querySelector(id);
const ALONE = 'Needs WORKERS=1: each worker has its own simulator settings.';

export class SimForm {
  #keys;
  #onAnswer;
  #form = find('#sim-form');
  #field = find('#sim');
  #error = find('#sim-error');
  #status = find('#sim-status');
  #held = ''; // what holds, as far as is known
  #follows = true; // the field says what holds

  /** @param onAnswer called when the server has done what it was asked, and so took the key */
  constructor(keys, onAnswer) {
    this.#keys = keys;
    this.#onAnswer = onAnswer;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#try(() => this.#apply());
    });
    find('#sim-reset').addEventListener('click', () => this.#try(() => this.#reset()));
    find('#sim-chips').addEventListener('click', ({ target }) => {
      if (target.dataset.sim === undefined) return;
      this.#field.value = target.dataset.sim;
      this.#written();
      this.#field.focus();
    });
    this.#field.addEventListener('input', () => this.#written());
  }

  /** What holds now, as the server tells it, and whether one worker alone answers: only then it can be changed. */
  hold(sim, isAlone) {
    this.#hold(sim);
    if (this.#field.disabled !== isAlone) return;
    for (const control of this.#form.elements) control.disabled = !isAlone;
    this.#tell(isAlone ? '' : ALONE, '');
  }

  #hold(sim) {
    this.#held = sim;
    find('#sim-now').textContent = sim;
    if (this.#follows && this.#field.value !== sim) this.#field.value = sim;
  }

  #written() {
    this.#follows = this.#field.value === this.#held;
    this.#tell('', '');
  }

  async #apply() {
    const sent = this.#field.value;
    const response = await this.#ask({
      method: 'PUT',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ sim: sent.trim() }),
    });
    const said = await response.json().catch(() => null);
    if (typeof said?.sim !== 'string') throw new Failure('unexpected');
    this.#done(sent, 'Holds for streams that begin from now on.');
    this.#hold(said.sim);
  }

  async #reset() {
    const before = this.#field.value;
    await this.#ask({ method: 'DELETE' });
    this.#done(before, 'As it was at the start.');
  }

  /** The field follows what holds again, unless something else has been written meanwhile. */
  #done(before, status) {
    this.#follows = this.#field.value === before;
    this.#tell('', status);
  }

  async #ask(init) {
    const response = await request(this.#keys, 'sim', init);
    this.#onAnswer();
    return response;
  }

  async #try(change) {
    if (this.#form.ariaBusy === 'true') return;
    this.#form.ariaBusy = 'true';
    this.#tell('', '');
    try {
      await change();
    } catch (failure) {
      if (!(failure instanceof Failure)) console.error(failure);
      const isOfField = failure.status === 400;
      this.#tell(isOfField && failure.detail ? failure.detail : wordsFor(failure), '', isOfField);
    }
    this.#form.ariaBusy = 'false';
  }

  #tell(error, status, isOfField = false) {
    this.#error.textContent = error;
    this.#status.textContent = status;
    this.#field.setAttribute('aria-invalid', String(isOfField));
  }
}
