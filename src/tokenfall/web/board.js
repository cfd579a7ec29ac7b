/**
 * The board: joins its parts, and shows what the server is doing now.
 *
 * It draws at most once an animation frame, and not at all while paused or hidden.
 * It must never show figures as live that are not: without a connection the page says so.
 */

import { BoardFeed } from './board_feed.js';
import { fillTables } from './board_tables.js';
import { Keys } from './dialogs.js';
import { age, bytes, count, latency, rate } from './figures.js';
import { element, Plot, Tile, write } from './plot.js';
import { passedS, Recent, requestRates, SPAN_S } from './series.js';
import { SimForm } from './sim_form.js';

const MIB = 2 ** 20;
const DESCRIBE_EVERY_S = 10; // labels for screen readers

const find = (id) => document.querySelector(id);
const mebibytes = (value) => bytes(value * MIB);
const peak = (key, format) => (sample, recent) => `peak ${format(recent.extent([key])?.high)}`;

const TILES = [
  { key: 'streams', title: 'Streams in flight', format: count, note: peak('streams', count) },
  { key: 'tokens', title: 'Tokens a second', format: rate, note: peak('tokens', rate) },
  { key: 'requests', title: 'Responses per second', format: rate, note: peak('requests', rate) },
  { key: 'memory', title: 'Memory', format: mebibytes, note: peak('memory', mebibytes) },
  { key: 'connections', title: 'Connections', format: count, note: peak('connections', count) },
];

const alone = (key) => [{ key, name: '' }];
const percentiles = (key) => [50, 90, 99].map((p) => ({ key: `${key}_p${p}`, name: `p${p}` }));
const spread = { format: latency, fromZero: true, canLog: true };
const PLOTS = [
  { title: 'Time to first token', lines: percentiles('ttft'), of: 'ttft_count', ...spread },
  { title: 'Between tokens', lines: percentiles('inter_token'), of: 'inter_token_count', ...spread },
  { title: 'Ticker lateness', lines: percentiles('ticker_late'), of: 'ticker_late_count', ...spread },
  { title: 'Streams in flight', lines: alone('streams'), format: count, least: 1, fromZero: true },
  { title: 'Tokens a second', lines: alone('tokens'), format: rate, least: 1, fromZero: true },
  { title: 'Memory', lines: alone('memory'), format: mebibytes, least: 0.2, step: 1024 },
];

const COUNTERS = [
  ['tokens', 'Tokens streamed'],
  ['detached_turns', 'Turns going on without a client'],
  ['upstream_retries', 'Upstream asked again'],
  ['rate_limited', 'Refused by a rate limit', true],
  ['connections_refused', 'Connections refused', true],
  ['stalled_readers', 'Readers that stalled', true],
  ['log_lines_lost', 'Log lines lost', true],
];

/** What is plotted of a sample, by the names in TILES and PLOTS. */
function valuesOf(sample) {
  const values = {
    streams: sample.streams,
    connections: sample.connections,
    tokens: sample.tokens_per_s,
    requests: sample.requests_per_s,
    memory: sample.resident_bytes / MIB,
  };
  for (const key of ['ttft', 'inter_token', 'ticker_late']) {
    for (const p of ['p50', 'p90', 'p99']) values[`${key}_${p}`] = sample[key]?.[`${p}_s`];
    values[`${key}_count`] = sample[key]?.count ?? 0;
  }
  return values;
}

/** What was counted since the start, each with a figure of its own. */
class Counters {
  #figures = COUNTERS.map(([, name]) => ({ name, figure: element('dd', '') }));

  constructor() {
    const entries = this.#figures.map(({ name, figure }) => element('div', '', element('dt', '', name), figure));
    find('#counters').append(...entries);
  }

  draw(sample) {
    this.#figures.forEach(({ figure }, n) => {
      const [key, , isTrouble] = COUNTERS[n];
      write(figure, count(sample[key]));
      figure.className = isTrouble && sample[key] > 0 ? 'bad' : '';
    });
  }
}

class Board {
  #recent = new Recent();
  #seconds = 0; // that the server has told of, by a clock that nobody sets
  #latest = null;
  #rates = null;
  #held = null; // the samples that came since the reader paused, or null
  #frame = 0;
  #describedAt = -Infinity;
  #pointed = null; // seconds before now that the pointer is at, or null
  #tiles = TILES.map((spec) => ({ spec, tile: new Tile(spec) }));
  #counters = new Counters();
  #plots = PLOTS.map((spec) => new Plot(spec, (ago) => this.#point(ago)));
  #lookBack = find('#look-back');
  #log = find('#log-scale');
  #pause = find('#pause');

  constructor() {
    find('#tiles').append(...this.#tiles.map(({ tile }) => tile.element));
    find('#plots').append(...this.#plots.map((plot) => plot.element));
    this.#lookBack.addEventListener('input', () => this.#look());
    this.#log.addEventListener('click', () => {
      this.#log.ariaPressed = String(!this.isLog);
      this.#drawPlots();
    });
    this.#pause.addEventListener('click', () => this.#togglePause());
  }

  get isPaused() {
    return this.#held !== null;
  }

  get isLog() {
    return this.#log.ariaPressed === 'true';
  }

  take(sample) {
    if (this.isPaused) {
      this.#held.push(sample);
      if (this.#held.length > SPAN_S) this.#held.shift();
      return;
    }
    this.#seconds += passedS(this.#latest, sample);
    this.#recent.push(this.#seconds, valuesOf(sample));
    this.#rates = requestRates(this.#latest, sample);
    this.#latest = sample;
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #togglePause() {
    const held = this.#held;
    this.#held = held ? null : [];
    this.#pause.textContent = held ? 'Pause' : 'Resume';
    held?.forEach((sample) => this.take(sample));
    showState();
  }

  #point(ago) {
    this.#pointed = ago;
    this.#drawPlots();
  }

  #draw() {
    this.#frame = 0;
    const sample = this.#latest;
    find('#waiting').hidden = true;
    find('#now').hidden = false;
    this.tellFacts();
    write(find('#window'), `Percentiles are over the last ${Math.round(sample.window_s)} s, and right to a fifth.`);
    const values = valuesOf(sample);
    for (const { spec, tile } of this.#tiles) {
      tile.draw(this.#recent, spec.format(values[spec.key]), spec.note(sample, this.#recent));
    }
    this.#drawPlots();
    fillTables(sample, this.#rates);
    this.#counters.draw(sample);
  }

  /** What the server is; and when it was so, while that is not now. */
  tellFacts() {
    if (this.#latest === null) return;
    const { at, uptime_s: uptime, version, workers } = this.#latest;
    const when = isNow() ? '' : ` · as of ${new Date(at * 1000).toLocaleTimeString()}`;
    write(find('#facts'), `up ${age(uptime)} · version ${version} · ${workers === 1 ? '1 worker' : `${workers} workers`}${when}`);
    for (const plot of this.#plots) plot.tellEnd(isNow() ? 'now' : 'then');
  }

  #drawPlots() {
    if (this.#latest === null) return '';
    const ago = this.#pointed ?? -this.#lookBack.value;
    const describe = this.#seconds - this.#describedAt >= DESCRIBE_EVERY_S;
    if (describe) this.#describedAt = this.#seconds;
    for (const plot of this.#plots) plot.draw(this.#recent, { ago, log: this.isLog, describe });
    const time = ago > 0 ? `${ago} s ago` : 'now';
    write(find('#looked-at'), time);
    return time;
  }

  /** What the slider reads is told as its value, only while it moves. */
  #look() {
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
  return state === 'live' && !board.isPaused;
}

function shownState() {
  if (state !== 'live') return state;
  if (board.isPaused) return 'paused';
  return isDraining ? 'draining' : 'live';
}

function showState(words) {
  const shown = shownState();
  find('#state').dataset.state = shown;
  write(find('#state'), STATES[shown]);
  document.body.classList.toggle('stale', !isNow());
  board.tellFacts();
  if (words === undefined) return;
  write(find('#why'), words);
  find('#again').hidden = state !== 'refused';
}

const keys = new Keys();
const board = new Board();
const simForm = new SimForm(keys, () => state === 'refused' && feed.start());
const feed = new BoardFeed(keys, {
  onSample(sample) {
    board.take(sample);
    simForm.hold(sample.sim, sample.workers === 1);
    if (isDraining === sample.draining) return;
    isDraining = sample.draining;
    showState();
  },
  onState(now, words) {
    state = now;
    showState(words);
  },
});
find('#again').addEventListener('click', () => feed.start());
feed.start();
