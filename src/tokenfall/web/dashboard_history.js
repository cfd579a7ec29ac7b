/**
 * The dashboard's samples: live events, and the server's history before them.
 *
 * The history is requested after each connect, and every minute for ranges in minutes. It must never touch the DOM or
 * report a failure: without the history, live events are still shown.
 */

import { rowsOf, valuesOf } from './dashboard_values.js';
import { request } from './request.js';
import { passedS, TimeSeries } from './time_series.js';

/** The selectable ranges; `serverRange` is the server's name of the history that contains it. */
export const RANGES = [
  { name: '2m', spanS: 120, stepS: 1, serverRange: '15m', ticks: ['2 min', '90 s', '1 min', '30 s'] },
  { name: '15m', spanS: 900, stepS: 1, serverRange: '15m', ticks: ['15 min', '', '7.5 min', ''] },
  { name: '1h', spanS: 3600, stepS: 60, serverRange: '24h', ticks: ['1 h', '45 min', '30 min', '15 min'] },
  { name: '24h', spanS: 86_400, stepS: 60, serverRange: '24h', ticks: ['24 h', '18 h', '12 h', '6 h'] },
];

const MINUTE_S = 60;

export class Samples {
  #keys;
  #onChange;
  #series = { 1: new TimeSeries({ spanS: 900 }), 60: new TimeSeries({ spanS: 86_400, stepS: 60 }) };
  #seconds = 0; // from the first event to the latest
  #loadedAt = {}; // by step: time of the last request on this connection
  latest = null; // the latest event

  /** @param onChange called when a history was loaded */
  constructor(keys, onChange) {
    this.#keys = keys;
    this.#onChange = onChange;
  }

  /** The time of the latest event, in seconds since the first. */
  get now() {
    return this.#seconds;
  }

  add(event) {
    this.#seconds += passedS(this.latest, event);
    this.#series[1].push(this.#seconds, valuesOf(event, this.latest));
    this.latest = event;
  }

  /** Called for a new connection. The history fills the gap since the last event. */
  begin() {
    this.#loadedAt = {};
  }

  /** The samples of a range. */
  window({ spanS, stepS }) {
    return this.#series[stepS].window(this.#seconds, spanS);
  }

  /** Requests the history of a range, if it is due. */
  async load({ serverRange, stepS }) {
    const isDue = !(stepS in this.#loadedAt) || (stepS === MINUTE_S && this.#seconds - this.#loadedAt[stepS] >= MINUTE_S);
    if (this.latest === null || !isDue) return;
    this.#loadedAt[stepS] = this.#seconds;
    try {
      const response = await request(this.#keys, `board/history?range=${serverRange}`, { asksForKey: false });
      this.#fill(await response.json());
    } catch {
      return; // retried on the next connection, or in a minute
    }
    this.#onChange();
  }

  #fill(history) {
    const ago = this.latest.at - history.at;
    const isOneClock = Math.abs(ago) < 2 * history.step_s + 5; // otherwise a clock was set
    this.#series[history.step_s].fill(this.#seconds - (isOneClock ? ago : 0), rowsOf(history));
  }
}
