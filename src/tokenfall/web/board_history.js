/**
 * The dashboard's samples: live events, and the server's history of the time before.
 *
 * The history is requested at the start of each connection, and every minute while minutes are shown.
 * It must never touch the page or show a failure: without the history, live events are still shown.
 */

import { rowsOf, valuesOf } from './board_values.js';
import { request } from './request.js';
import { passedS, TimeSeries } from './time_series.js';

/** The ranges that may be shown: `asks` is the server's name of the history that has it. */
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
  #seconds = 0; // from the first event to the latest, by the server's uptime
  #loadedAt = {}; // by step: when its history was asked for on this connection
  latest = null; // the latest event

  /** @param onChange called when a history has come */
  constructor(keys, onChange) {
    this.#keys = keys;
    this.#onChange = onChange;
  }

  /** The time of the latest event, by the server's uptime. */
  get now() {
    return this.#seconds;
  }

  add(event) {
    this.#seconds += passedS(this.latest, event);
    this.#series[1].push(this.#seconds, valuesOf(event, this.latest));
    this.latest = event;
  }

  /** A new connection begins: there may be a gap since the last event, which the history fills. */
  begin() {
    this.#loadedAt = {};
  }

  /** What is shown of a range. Asks for its history where that is due. */
  window({ spanS, stepS }) {
    return this.#series[stepS].window(this.#seconds, spanS);
  }

  /** Asks for the history of a range, unless that is not due. */
  async load({ serverRange, stepS }) {
    const isDue = !(stepS in this.#loadedAt) || (stepS === MINUTE_S && this.#seconds - this.#loadedAt[stepS] >= MINUTE_S);
    if (this.latest === null || !isDue) return;
    this.#loadedAt[stepS] = this.#seconds;
    try {
      const response = await request(this.#keys, `board/history?range=${serverRange}`, { asksForKey: false });
      this.#fill(await response.json());
    } catch {
      return; // tried again on the next connection, or in a minute
    }
    this.#onChange();
  }

  #fill(history) {
    const ago = this.latest.at - history.at;
    const isOneClock = Math.abs(ago) < 2 * history.step_s + 5; // else one of the clocks was set
    this.#series[history.step_s].fill(this.#seconds - (isOneClock ? ago : 0), rowsOf(history));
  }
}
