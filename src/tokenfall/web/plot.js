/**
 * Lines over time as SVG: plots with ticks and a legend. And tiles, which have a figure only.
 *
 * One path per line, updated once per second; the drawing is stretched by the browser, so nothing is measured and
 * nothing is drawn again when the window changes. It must never decide what a value means, or announce anything:
 * labels for screen readers change only on request, and no region is live.
 */

import { element } from './elements.js';
import { count, NONE, tickLabel } from './number_format.js';
import { linearScale, logScale } from './scales.js';

const SVG = 'http://www.w3.org/2000/svg';
const TIMES = 5; // labels of the time axis

/** The width of every drawing, in its own units, however long the time is that it shows. */
const WIDTH = 1000;

const MOST_LINES = 6;

function shape(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A drawing whose x go to WIDTH and whose y are percent from the top. */
function drawing(...children) {
  return shape('svg', { viewBox: `0 0 ${WIDTH} 100`, preserveAspectRatio: 'none' }, ...children);
}

/** Sets the text of a node if it has changed: unchanged text costs no layout and keeps a selection. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const heightOf = (value, scale) => Math.round(10_000 - 10_000 * scale.at(value)) / 100;

/** Sets the path of a line, on which a run of one is a dot; and of what lies below it, where that is drawn. */
function trace(runs, { spanS, scale }, line, fill) {
  let path = '';
  let area = '';
  const place = (seconds) => Math.round(10 * WIDTH * seconds / spanS) / 10;
  for (const run of runs) {
    const points = run.map(([x, value]) => `${place(x)} ${heightOf(value, scale)}`).join('L');
    path += `M${points}${run.length === 1 ? 'h0' : ''}`;
    if (fill) area += `M${points}V100H${place(run[0][0])}Z`;
  }
  line.setAttribute('d', path);
  fill?.setAttribute('d', area);
}

/** A figure of now. */
export class Tile {
  #figure = element('dd', 'figure', NONE);
  #note = element('dd', 'also');

  constructor({ title }) {
    this.element = element('div', 'tile panel', element('dt', '', title), this.#figure, this.#note);
  }

  draw(figure, note) {
    write(this.#figure, figure);
    write(this.#note, note);
  }
}

/** One line of a plot, with its entry in the legend. */
class Line {
  constructor({ key, name }, n) {
    this.key = key;
    this.name = name;
    this.path = shape('path', { class: `line line-${n + 1}` });
    this.dot = shape('path', { class: `dot line-${n + 1}` });
    this.value = element('b', '', NONE);
    const sample = shape('svg', { class: 'sample', 'aria-hidden': 'true' },
      shape('line', { class: `line line-${n + 1}`, x2: '100%', y1: '50%', y2: '50%' }));
    this.entry = element('li', '', sample, name, this.value);
  }
}

export class Plot {
  #spec;
  #lines = [];
  #drawing;
  #grid = shape('path', { class: 'grid' });
  #fill = shape('path', { class: 'fill' });
  #cursor = shape('path', { class: 'cursor' });
  #limit = shape('path', { class: 'limit' });
  #threshold = null;
  #drawn = shape('g', {}); // the lines
  #legend = element('ul', 'legend');
  #ticks = element('div', 'ticks');
  #times = element('div', 'times', ...Array.from({ length: TIMES }, () => element('span', '')));
  #seen = element('span', 'small');
  #nothing = element('p', 'nothing');
  #drawnTicks = '';

  /**
   * @param spec `title`; `lines`: [{ key, name }], or `prefix`, of the names of lines that are not known before, and
   *   `label(name)`; `of`, the name of how many the lines are of; `format(value)`; `canLog`; `least`, the closest that
   *   two ticks may be; `step`, of a larger unit; `nothing`, shown while there are no lines; `isTile`: its figure of now
   *   is on a tile, so it is not repeated here
   * @param onPoint called with how far back the reader points, as a share of the time shown, or null when no more
   */
  constructor(spec, onPoint) {
    this.#spec = spec;
    const upright = shape('path', { class: 'grid', d: [1, 2, 3].map((n) => `M${n * WIDTH / 4} 0V100`).join('') });
    this.#drawing = drawing(upright, this.#grid, this.#fill, this.#limit, this.#cursor, this.#drawn);
    this.#drawing.setAttribute('role', 'img');
    this.#drawing.setAttribute('aria-label', spec.title);
    const area = element('div', 'area', this.#drawing, this.#nothing);
    write(this.#nothing, spec.nothing ?? 'Nothing to show yet');
    watchPointer(area, onPoint);
    for (const hidden of [this.#ticks, this.#times]) hidden.setAttribute('aria-hidden', 'true');
    const caption = element('figcaption', '', element('h3', '', spec.title), this.#seen, this.#legend);
    this.element = element('figure', 'plot panel', caption, element('div', 'frame', this.#ticks, area, this.#times));
    this.#setLines(spec.lines ?? []);
  }

  /** Draws a line at this value from now on. */
  setThreshold(value) {
    this.#threshold = value;
    this.#seen.after(element('span', 'small', `threshold ${tickLabel(this.#spec.format(value))}`));
  }

  /**
   * @param {{ ago: number, log: boolean, describe: string }} options `ago` the time that is read, in seconds;
   *   `describe` names the time shown if the label is to be updated
   */
  draw(shown, { ago, log, describe }) {
    const { prefix, label, of } = this.#spec;
    if (prefix) {
      const keys = shown.namesWith(prefix, MOST_LINES);
      this.#setLines(keys.map((key) => ({ key, name: label(key.slice(prefix.length)) })));
    }
    const extent = shown.extent(this.#lines.map(({ key }) => key));
    const scale = this.#scale(extent, log);
    this.#drawTicks(scale);
    this.#drawLimit(extent, scale);
    this.#nothing.hidden = extent !== null;
    const values = shown.reading(ago);
    this.#drawLines(shown, { scale, ago, values });
    if (of) write(this.#seen, values ? `of ${count(values[of])}` : '');
    if (describe) this.#drawing.setAttribute('aria-label', `${this.summary}. Lines over the last ${describe}`);
  }

  #drawLimit(extent, scale) {
    const isShown = extent !== null && this.#threshold !== null;
    this.#limit.setAttribute('d', isShown ? `M0 ${heightOf(this.#threshold, scale)}H${WIDTH}` : '');
  }

  #drawLines(shown, { scale, ago, values }) {
    const { isTile, format } = this.#spec;
    const x = WIDTH * (1 - ago / shown.spanS);
    this.#cursor.setAttribute('d', ago > 0 ? `M${x} 0V100` : '');
    for (const { key, path, dot, value } of this.#lines) {
      trace(shown.runs(key), { spanS: shown.spanS, scale }, path, this.#isFilled ? this.#fill : null);
      const read = values?.[key];
      dot.setAttribute('d', ago > 0 && Number.isFinite(read) ? `M${x} ${heightOf(read, scale)}h0` : '');
      write(value, isTile && ago === 0 ? '' : format(read));
    }
  }

  #setLines(lines) {
    if (lines.map(({ key }) => key).join() === this.#lines.map(({ key }) => key).join()) return;
    this.#lines = lines.map((line, n) => new Line(line, n));
    this.#drawn.replaceChildren(...this.#lines.toReversed().flatMap(({ path, dot }) => [path, dot]));
    this.#legend.replaceChildren(...this.#lines.map(({ entry }) => entry));
  }

  /** Names the time axis: `names` from the left, and the right end. */
  setTimes(names) {
    [...this.#times.children].forEach((time, n) => write(time, names[n]));
  }

  get #isFilled() {
    return this.#lines.length === 1 && !this.#spec.prefix;
  }

  /** What the legend shows, in one phrase. */
  get summary() {
    const readings = this.#lines.map(({ name, value }) => `${name} ${value.textContent}`.trim()).filter(Boolean);
    return [this.#spec.title, readings.join(', ')].filter(Boolean).join(': ');
  }

  #scale(extent, log) {
    const { least, canLog, step } = this.#spec;
    if (extent === null) return { ticks: [], at: () => 0 };
    const high = Math.max(extent.high, this.#threshold ?? 0);
    if (log && canLog && high > 0) return logScale(extent.above || high, high);
    const unit = step && high >= step ? step : 1;
    const closest = Math.max(least ?? 0, unit === 1 ? 0 : high / 100) / unit;
    const { ticks, at } = linearScale(0, high / unit, closest || undefined);
    return { ticks: ticks.map((tick) => tick * unit), at: (value) => at(value / unit) };
  }

  #drawTicks({ ticks, at }) {
    const drawn = ticks.join();
    if (drawn === this.#drawnTicks) return;
    this.#drawnTicks = drawn;
    this.#grid.setAttribute('d', ticks.map((tick) => `M0 ${100 - 100 * at(tick)}H${WIDTH}`).join(''));
    this.#ticks.replaceChildren(...ticks.map((tick) => {
      const label = element('span', '', tickLabel(this.#spec.format(tick)));
      label.style.setProperty('bottom', `${100 * at(tick)}%`);
      return label;
    }));
  }
}

function watchPointer(area, onPoint) {
  const point = (event) => {
    const { left, width } = area.getBoundingClientRect();
    onPoint(1 - Math.min(Math.max((event.clientX - left) / width, 0), 1));
  };
  area.addEventListener('pointerdown', point);
  area.addEventListener('pointermove', point);
  for (const end of ['pointerleave', 'pointercancel']) area.addEventListener(end, () => onPoint(null));
}
