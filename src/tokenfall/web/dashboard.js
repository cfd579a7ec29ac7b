/**
 * Entry point of the dashboard: connects the modules and shows the server's metrics.
 *
 * It draws at most once per animation frame, and not while paused or hidden. It must never show old values as live.
 */

import { DashboardFeed } from './dashboard_feed.js';
import { RANGES, Samples } from './dashboard_history.js';
import { fillTables } from './dashboard_tables.js';
import { MIB, requestRates, valuesOf } from './dashboard_values.js';
import { Keys } from './dialogs.js';
import { element, find, write } from './elements.js';
import { age, bytes, count, latency, rate } from './number_format.js';
import { Plot, Tile } from './plot.js';
import { SimForm } from './sim_form.js';
import { thresholdsOf } from './thresholds.js';

const DESCRIBE_EVERY_S = 10; // updates of the labels for screen readers

const mebibytes = (value) => bytes(value * MIB);
const counted = (number, what) => `${number} ${what}${number === 1 ? '' : 's'}`;
const MAX_BUFFERED = 900; // samples kept while paused

const TILES = [
  { key: 'streams', title: 'Streams in flight', format: count },
  { key: 'tokens', title: 'Tokens per second', format: rate },
  { key: 'requests', title: 'Responses per second', format: rate },
  { key: 'memory', title: 'Memory', format: mebibytes },
  { key: 'connections', title: 'Connections', format: count },
];

const alone = (key) => [{ key, name: '' }];
const percentiles = (key) => [50, 90, 99].map((p) => ({ key: `${key}_p${p}`, name: `p${p}` }));
const spread = { format: latency, canLog: true };
const PLOTS = [
  { name: 'ttft', title: 'Time to first token', lines: percentiles('ttft'), countKey: 'ttft_count', ...spread },
  { name: 'inter_token', title: 'Inter-token latency', lines: percentiles('inter_token'), countKey: 'inter_token_count', ...spread },
  { name: 'ticker_late', title: 'Ticker lateness', lines: percentiles('ticker_late'), countKey: 'ticker_late_count', ...spread },
  {
    name: 'upstream_ttft', title: 'Upstream first token, p90', prefix: 'model:', label: String,
    nothing: 'No upstream data', ...spread,
  },
  {
    name: 'errors', title: 'Errors and refusals per second', prefix: 'error:', label: errorLabel, format: rate,
    nothing: 'No errors',
  },
  {
    name: 'upstream_errors', title: 'Upstream errors per second', prefix: 'upstream:', label: String, format: rate,
    nothing: 'No errors',
  },
  { name: 'streams', title: 'Streams in flight', lines: alone('streams'), format: count, minStep: 1, isTile: true },
  { name: 'tokens', title: 'Tokens per second', lines: alone('tokens'), format: rate, minStep: 1, isTile: true },
  { name: 'responses', title: 'Responses per second', lines: alone('requests'), format: rate, minStep: 1, isTile: true },
  { name: 'memory', title: 'Memory', lines: alone('memory'), format: mebibytes, minStep: 1, unitFactor: 1024, isTile: true },
  {
    name: 'held_memory', title: 'Request and response memory', format: mebibytes, minStep: 1, unitFactor: 1024,
    lines: [{ key: 'request_memory', name: 'requests' }, { key: 'response_memory', name: 'responses' }],
  },
];

function errorLabel(code) {
  return code === 'failed' ? 'failed stream' : code;
}

const COUNTERS = [
  ['tokens', 'Tokens streamed'],
  ['upstream_retries', 'Upstream retries'],
  ['rate_limited', 'Rate-limited requests', true],
  ['memory_refused', 'Refused, memory in use', true],
  ['connections_refused', 'Connections refused', true],
  ['stalled_readers', 'Stalled readers', true],
  ['log_lines_lost', 'Log lines lost', true],
];

/** The counters since startup. */
class Counters {
  #figures = COUNTERS.map(() => element('dd', ''));

  constructor() {
    find('#counters').append(...COUNTERS.map(([, name], n) => element('div', '', element('dt', '', name), this.#figures[n])));
  }

  draw(sample) {
    COUNTERS.forEach(([key, , isTrouble], n) => {
      write(this.#figures[n], count(sample[key]));
      this.#figures[n].className = isTrouble && sample[key] > 0 ? 'bad' : '';
    });
  }
}

class Dashboard {
  #samples;
  #range = RANGES[0];
  #rates = null;
  #buffered = null; // the samples received while paused, else null
  #frame = 0;
  #describedAt = -Infinity;
  #pointed = null; // the pointer's position, as a fraction of the range before its end, or null
  #tiles = TILES.map((spec) => ({ spec, tile: new Tile(spec) }));
  #counters = new Counters();
  #plots = PLOTS.map((spec) => new Plot(spec, (back) => this.#onPoint(back)));
  #lookBack = find('#look-back');
  #log = find('#log-scale');
  #tables = find('#tables');
  #pause = find('#pause');

  constructor(keys) {
    this.#samples = new Samples(keys, () => this.#scheduleDraw());
    find('#tiles').append(...this.#tiles.map(({ tile }) => tile.element));
    find('#plots').append(...this.#plots.map((plot) => plot.element));
    this.#setThresholds();
    find('#ranges').addEventListener('change', ({ target }) => this.#show(target.value));
    this.#lookBack.addEventListener('input', () => this.#describeReading());
    for (const button of [this.#log, this.#tables]) button.addEventListener('click', () => this.#toggle(button));
    this.#pause.addEventListener('click', () => this.#togglePause());
  }

  #setThresholds() {
    const { values, mistakes } = thresholdsOf(location.search);
    PLOTS.forEach(({ name }, n) => name in values && this.#plots[n].setThreshold(values[name]));
    write(find('#threshold-mistakes'), mistakes);
  }

  get isPaused() {
    return this.#buffered !== null;
  }

  #toggle(button) {
    button.ariaPressed = String(button.ariaPressed !== 'true');
    this.#drawPlots();
  }

  /** Called for a new connection. */
  begin() {
    this.#samples.begin();
  }

  add(sample) {
    if (this.isPaused) {
      this.#buffered.push(sample);
      if (this.#buffered.length > MAX_BUFFERED) this.#buffered.shift();
      return;
    }
    this.#rates = requestRates(this.#samples.latest, sample);
    this.#samples.add(sample);
    this.#samples.load(this.#range);
    this.#scheduleDraw();
  }

  #scheduleDraw() {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #togglePause() {
    const buffered = this.#buffered;
    this.#buffered = buffered ? null : [];
    this.#pause.textContent = buffered ? 'Pause' : 'Resume';
    buffered?.forEach((sample) => this.add(sample));
    showState();
  }

  /** Shows another range, at its newest end. */
  #show(name) {
    this.#range = RANGES.find((range) => range.name === name);
    this.#lookBack.min = -this.#range.spanS;
    this.#lookBack.step = this.#range.stepS;
    this.#lookBack.value = 0;
    this.#describedAt = -Infinity;
    this.#samples.load(this.#range);
    this.#draw();
  }

  #onPoint(back) {
    this.#pointed = back;
    this.#drawPlots();
  }

  #draw() {
    this.#frame = 0;
    const { latest } = this.#samples;
    if (latest === null) return;
    find('#waiting').hidden = true;
    find('#now').hidden = false;
    this.showFacts();
    const of = this.#range.stepS === 1 ? `the last ${Math.round(latest.window_s)} s` : 'a minute';
    write(find('#window'), `Percentiles of ${of}, accurate to 20 %.`);
    const values = valuesOf(latest, null);
    const shown = this.#samples.window(this.#range);
    for (const { spec: { key, format }, tile } of this.#tiles) {
      const peak = Math.max(values[key], shown.extent([key])?.high ?? 0); // the series of minutes lacks the last one
      tile.draw(format(values[key]), `peak ${format(peak)}`);
    }
    this.#drawPlots();
    fillTables(latest, this.#rates);
    this.#counters.draw(latest);
  }

  /** Shows uptime, version, workers, turns without a client and, unless live, the time of the data. */
  showFacts() {
    const { latest } = this.#samples;
    if (latest === null) return;
    const { at, uptime_s: uptime, version, workers, detached_turns: detached } = latest;
    const when = isNow() ? '' : ` · as of ${new Date(at * 1000).toLocaleTimeString()}`;
    const facts = [`up ${age(uptime)}`, `version ${version}`, counted(workers, 'worker')];
    if (detached > 0) facts.push(`${counted(detached, 'turn')} without a client`);
    write(find('#facts'), facts.join(' · ') + when);
    for (const plot of this.#plots) plot.setTimes([...this.#range.ticks, isNow() ? 'now' : 'then']);
  }

  #drawPlots() {
    if (this.#samples.latest === null) return '';
    const { spanS, stepS } = this.#range;
    const pointed = this.#pointed === null ? null : stepS * Math.round(this.#pointed * spanS / stepS);
    const ago = pointed ?? -this.#lookBack.value;
    const isDescribed = this.#samples.now - this.#describedAt >= DESCRIBE_EVERY_S;
    if (isDescribed) this.#describedAt = this.#samples.now;
    const shown = this.#samples.window(this.#range);
    const describe = isDescribed ? age(spanS) : '';
    const log = this.#log.ariaPressed === 'true';
    const hasTable = this.#tables.ariaPressed === 'true';
    for (const plot of this.#plots) plot.draw(shown, { ago, log, describe, hasTable });
    const time = ago > 0 ? `${age(ago)} ago` : 'now';
    write(find('#looked-at'), time);
    return time;
  }

  /** Sets the slider's value text to the values at its time; called only while it moves. */
  #describeReading() {
    const time = this.#drawPlots();
    this.#lookBack.setAttribute('aria-valuetext', [time, ...this.#plots.map((plot) => plot.summary)].join('; '));
  }
}

const STATES = {
  connecting: 'Connecting…',
  live: 'Live',
  draining: 'Draining',
  late: 'Late',
  waiting: 'Reconnecting…',
  refused: 'No key',
  paused: 'Paused',
};

let state = 'connecting';
let isDraining = false;

function isNow() {
  return state === 'live' && !dashboard.isPaused;
}

function shownState() {
  if (state !== 'live') return state;
  if (dashboard.isPaused) return 'paused';
  return isDraining ? 'draining' : 'live';
}

function showState(text) {
  const shown = shownState();
  find('#state').dataset.state = shown;
  write(find('#state'), STATES[shown]);
  document.body.classList.toggle('stale', !isNow());
  dashboard.showFacts();
  if (text === undefined) return;
  write(find('#why'), text);
  find('#again').hidden = state !== 'refused';
}

const keys = new Keys();
const dashboard = new Dashboard(keys);
const simForm = new SimForm(keys, () => state === 'refused' && feed.start());
const feed = new DashboardFeed(keys, {
  onSample(sample) {
    dashboard.add(sample);
    simForm.update(sample.sim, sample.workers === 1);
    if (isDraining === sample.draining) return;
    isDraining = sample.draining;
    showState();
  },
  onState(now, text) {
    if (now === 'live' && state !== 'late') dashboard.begin();
    state = now;
    showState(text);
  },
});
find('#again').addEventListener('click', () => feed.start());
feed.start();
