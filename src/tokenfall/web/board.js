/**
 * The board: joins its parts, and shows what the server is doing now.
 *
 * It draws at most once an animation frame, and not at all while paused or hidden.
 * It must never show figures as live that are not: without a connection the page says so.
 */

import { BoardFeed } from './board_feed.js';
import { Keys } from './dialogs.js';
import { age, bytes, count, latency, rate } from './figures.js';
import { element, Plot, Tile, write } from './plot.js';
import { Recent, requestKey, requestRates, SPAN_S } from './series.js';
import { SimForm } from './sim_form.js';

const MIB = 2 ** 20;
const DESCRIBE_EVERY_S = 10; // labels for screen readers

const find = (id) => document.querySelector(id);
const mebibytes = (value) => bytes(value * MIB);
const peak = (key, format) => (sample, recent) => `peak ${format(recent.extent([key])?.high)}`;

const TILES = [
  { key: 'streams', title: 'Streams in flight', format: count, note: peak('streams', count) },
  { key: 'tokens', title: 'Tokens a second', format: rate, note: peak('tokens', rate) },
  { key: 'requests', title: 'Requests a second', format: rate, note: peak('requests', rate) },
  { key: 'memory', title: 'Memory', format: mebibytes, note: peak('memory', mebibytes) },
  { key: 'connections', title: 'Connections', format: count, note: peak('connections', count) },
];

const alone = (key) => [{ key, name: '' }];
const percentiles = (key) => [50, 90, 99].map((p) => ({ key: `${key}_p${p}`, name: `p${p}` }));
const PLOTS = [
  { title: 'Streams in flight', lines: alone('streams'), format: count, least: 1, fromZero: true },
  { title: 'Tokens a second', lines: alone('tokens'), format: rate, least: 1, fromZero: true },
  { title: 'Memory', lines: alone('memory'), format: mebibytes, least: 0.2 },
  { title: 'Time to first token', lines: percentiles('ttft'), format: latency, fromZero: true, canLog: true },
  { title: 'Between tokens', lines: percentiles('inter_token'), format: latency, fromZero: true, canLog: true },
  { title: 'Ticker lateness', lines: percentiles('ticker_late'), format: latency, fromZero: true, canLog: true },
];

const COUNTERS = [
  ['tokens', 'Tokens sent'],
  ['upstream_retries', 'Upstream asked again'],
  ['rate_limited', 'Refused by a rate limit', true],
  ['connections_refused', 'Connections refused', true],
  ['stalled_readers', 'Readers that stalled', true],
  ['log_lines_lost', 'Log lines lost', true],
];

const OUTCOMES = {
  complete: 'Complete',
  left: 'Client left',
  failed: 'Failed',
  stalled: 'Reader stalled',
  cut: 'Cut off',
};

const CLASSES = { 2: 'ok', 3: 'redirect', 4: 'client', 5: 'server' }; // in an error: whose it was

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
  }
  return values;
}

/** Writes `text` where it is new, so that it may break after a slash or an underscore. */
function writeBreakable(cell, text) {
  if (cell.textContent === text) return;
  cell.replaceChildren(...text.split(/(?<=[/_])/).flatMap((part) => [part, document.createElement('wbr')]));
}

/** Rows of [text or { text, kind }] into a table's body; what is unchanged stays untouched. */
function fill(table, rows) {
  const body = table.tBodies[0];
  const width = table.tHead.rows[0].cells.length;
  const shown = rows.length > 0 ? rows : [['None so far', ...Array(width - 1).fill('')]];
  while (body.rows.length > shown.length) body.deleteRow(-1);
  while (body.rows.length < shown.length) {
    const head = element('th', '');
    head.scope = 'row';
    body.append(element('tr', '', head, ...Array.from({ length: width - 1 }, () => element('td', ''))));
  }
  shown.forEach((row, n) => row.forEach((said, column) => {
    const cell = body.rows[n].cells[column];
    writeBreakable(cell, said.text ?? said);
    cell.className = said.kind ?? '';
  }));
}

function statusCell(status) {
  const hundred = Math.floor(status / 100);
  return { text: `${status} ${CLASSES[hundred] ?? ''}`, kind: `kind-${hundred}` };
}

function fillTables(sample, rates) {
  const requests = sample.requests.toSorted((a, b) => b.count - a.count || a.route.localeCompare(b.route));
  fill(find('#requests'), requests.map((entry) => [
    { text: entry.route || 'no such route', kind: 'mono' },
    statusCell(entry.status),
    count(entry.count),
    rate(rates?.get(requestKey(entry))),
  ]));
  const byCount = (counts) => Object.entries(counts).toSorted((a, b) => b[1] - a[1]);
  fill(find('#errors'), byCount(sample.upstream_errors).map(([code, n]) => [{ text: code, kind: 'mono' }, count(n)]));
  const ended = { complete: 0, left: 0, failed: 0, cut: 0, ...sample.streams_ended };
  fill(find('#ended'), Object.entries(ended).map(([outcome, n]) => [OUTCOMES[outcome] ?? outcome, count(n)]));
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
    this.#recent.push(sample.at, valuesOf(sample));
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
    const workers = sample.workers === 1 ? '1 worker' : `${sample.workers} workers`;
    write(find('#facts'), `up ${age(sample.uptime_s)} · version ${sample.version} · ${workers}`);
    write(find('#window'), `Percentiles are over the last ${Math.floor(sample.window_s)} s.`);
    const values = valuesOf(sample);
    for (const { spec, tile } of this.#tiles) {
      tile.draw(this.#recent, spec.format(values[spec.key]), spec.note(sample, this.#recent));
    }
    this.#drawPlots();
    fillTables(sample, this.#rates);
    this.#counters.draw(sample);
  }

  #drawPlots() {
    if (this.#latest === null) return '';
    const ago = this.#pointed ?? -this.#lookBack.value;
    const describe = Math.abs(this.#latest.at - this.#describedAt) >= DESCRIBE_EVERY_S;
    if (describe) this.#describedAt = this.#latest.at;
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
  waiting: 'Reconnecting…',
  refused: 'No key',
  paused: 'Paused',
};

let state = 'connecting';

function showState(words) {
  const shown = state === 'live' && board.isPaused ? 'paused' : state;
  find('#state').dataset.state = shown;
  write(find('#state'), STATES[shown]);
  document.body.classList.toggle('stale', state !== 'live');
  if (words === undefined) return;
  write(find('#why'), words);
  find('#again').hidden = state !== 'refused';
}

const keys = new Keys();
const board = new Board();
const simForm = new SimForm(keys);
const feed = new BoardFeed(keys, {
  onSample(sample) {
    board.take(sample);
    if (sample.workers > 1) simForm.forbid('Needs WORKERS=1: each worker would know only what it was told itself.');
  },
  onState(now, words) {
    state = now;
    showState(words);
    if (now === 'live') simForm.load();
  },
});
find('#again').addEventListener('click', () => feed.start());
feed.start();
