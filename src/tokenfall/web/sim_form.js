/**
 * The form for the simulator's default grammar: shows, replaces or resets it.
 *
 * The field shows the current grammar until it is edited. The server validates the grammar; its error is shown beside
 * the field.
 */

import { messageFor } from './dashboard_messages.js';
import { find } from './elements.js';
import { asFailure } from './failures.js';
import { jsonOf, request, withJSON } from './request.js';

const ONE_WORKER = 'Needs WORKERS=1: each worker has its own simulator settings.';

export class SimForm {
  #keys;
  #onSuccess;
  #form = find('#sim-form');
  #field = find('#sim');
  #error = find('#sim-error');
  #status = find('#sim-status');
  #current = ''; // the last known grammar
  #follows = true; // the field shows the current grammar

  /** @param onSuccess called after a successful request: the key was accepted */
  constructor(keys, onSuccess) {
    this.#keys = keys;
    this.#onSuccess = onSuccess;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#try(() => this.#apply());
    });
    find('#sim-reset').addEventListener('click', () => this.#try(() => this.#reset()));
    find('#sim-chips').addEventListener('click', ({ target }) => {
      if (target.dataset.sim === undefined) return;
      this.#field.value = target.dataset.sim;
      this.#edited();
      this.#field.focus();
    });
    this.#field.addEventListener('input', () => this.#edited());
  }

  /** Shows the current grammar, which can be changed only if there is one worker. */
  update(sim, hasOneWorker) {
    this.#setCurrent(sim);
    if (this.#field.disabled !== hasOneWorker) return;
    for (const control of this.#form.elements) control.disabled = !hasOneWorker;
    this.#show(hasOneWorker ? '' : ONE_WORKER, '');
  }

  #setCurrent(sim) {
    this.#current = sim;
    find('#sim-now').textContent = sim;
    if (this.#follows && this.#field.value !== sim) this.#field.value = sim;
  }

  #edited() {
    this.#follows = this.#field.value === this.#current;
    this.#show('', '');
  }

  async #apply() {
    const sent = this.#field.value;
    const response = await this.#request(withJSON('PUT', { sim: sent.trim() }));
    const current = await jsonOf(response, ({ sim }) => typeof sim === 'string');
    this.#done(sent, 'Applied to new streams.');
    this.#setCurrent(current.sim);
  }

  async #reset() {
    const before = this.#field.value;
    await this.#request({ method: 'DELETE' });
    this.#done(before, 'Reset to the settings from startup.');
  }

  /** Makes the field show the current grammar again, unless it was edited meanwhile. */
  #done(before, status) {
    this.#follows = this.#field.value === before;
    this.#show('', status);
  }

  async #request(init) {
    const response = await request(this.#keys, 'sim', init);
    this.#onSuccess();
    return response;
  }

  async #try(change) {
    if (this.#form.ariaBusy === 'true') return;
    this.#form.ariaBusy = 'true';
    this.#show('', '');
    try {
      await change();
    } catch (error) {
      const failure = asFailure(error);
      const isOfField = failure.status === 400;
      this.#show(isOfField && failure.detail ? failure.detail : messageFor(failure), '', isOfField);
    }
    this.#form.ariaBusy = 'false';
  }

  #show(error, status, isOfField = false) {
    this.#error.textContent = error;
    this.#status.textContent = status;
    this.#field.setAttribute('aria-invalid', String(isOfField));
  }
}
