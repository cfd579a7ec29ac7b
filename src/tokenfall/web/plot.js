/**
 * Line plots over time as SVG, with ticks and a legend; and tiles with a single value.
 *
 * Each line is one path, updated once per second. The browser scales the drawing, so nothing is measured, or redrawn when
 * the window is resized. It must never announce anything: labels for screen readers change only on request.
 */

import { element, write } from './elements.js';
import { count, NONE, tickLabel } from './number_format.js';
import { PlotTable } from './plot_table.js';
import { linearScale, logScale } from './scales.js';

const SVG = 'http://www.w3.org/2000/svg';
const TIMES = 5; // labels of the time axis

/** The width of every drawing in its own units, for any time span. */
const WIDTH = 1000;

const MOST_LINES = 6;

function shape(tag, attributes, ...children) {
  const created = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.append(...children);
  return created;
}

/** An SVG with x from 0 to WIDTH, and y in percent from the top. */
function drawing(...children) {
  return shape('svg', { viewBox: `0 0 ${WIDTH} 100`, preserveAspectRatio: 'none' }, ...children);
}

const heightOf = (value, scale) => Math.round(10_000 - 10_000 * scale.at(value)) / 100;

/** Sets the path of a line, where a single value is a dot, and of the area below it if `fill` is given. */
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

/** The current value of a metric. */
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

/** One line of a plot with its legend entry. */
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
  #lineGroup = shape('g', {});
  #legend = element('ul', 'legend');
  #ticks = element('div', 'ticks');
  #times = element('div', 'times', ...Array.from({ length: TIMES }, () => element('span', '')));
  #sampleCount = element('span', 'small');
  #nothing = element('p', 'nothing');
  #table;
  #drawnTicks = '';

  /**
   * @param spec `name`; `title`; `lines`: [{ key, name }], or `prefix` of keys known only at run time, with `label(name)`;
   *   `countKey`: the key of the sample count; `format(value)`; `canLog`; `minStep`: the minimum distance of two ticks;
   *   `unitFactor`: the factor to the next larger unit; `nothing`: shown without lines; `isTile`: a tile shows the current value, the legend not
   * @param onPoint called with the pointer's position, as a fraction of the span before its end; null when it leaves
   */
  constructor(spec, onPoint) {
    this.#spec = spec;
    const upright = shape('path', { class: 'grid', d: [1, 2, 3].map((n) => `M${n * WIDTH / 4} 0V100`).join('') });
    this.#drawing = drawing(upright, this.#grid, this.#fill, this.#limit, this.#cursor, this.#lineGroup);
    this.#drawing.setAttribute('role', 'img');
    this.#drawing.setAttribute('aria-label', spec.title);
    const area = element('div', 'area', this.#drawing, this.#nothing);
    write(this.#nothing, spec.nothing ?? 'Nothing to show yet');
    watchPointer(area, onPoint);
    for (const hidden of [this.#ticks, this.#times]) hidden.setAttribute('aria-hidden', 'true');
    this.#table = new PlotTable(spec.title);
    const title = element('h3', '', spec.title);
    title.id = `plot-${spec.name}`;
    const caption = element('figcaption', '', title, this.#sampleCount, this.#legend);
    const frame = element('div', 'frame', this.#ticks, area, this.#times);
    this.element = element('figure', 'plot panel', caption, frame, this.#table.element);
    this.element.setAttribute('aria-labelledby', title.id);
    this.#setLines(spec.lines ?? []);
  }

  /** Draws a threshold at this value. */
  setThreshold(value) {
    this.#threshold = value;
    this.#sampleCount.after(element('span', 'small', `threshold ${tickLabel(this.#spec.format(value))}`));
  }

  /**
   * @param {{ ago: number, log: boolean, describe: string, hasTable: boolean }} options `ago`: the time of the legend's
   *   values, in seconds; `describe`: the time span for the label, '' to keep the label; `hasTable`: show the table
   */
  draw(shown, { ago, log, describe, hasTable }) {
    const { prefix, label, countKey } = this.#spec;
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
    if (countKey) write(this.#sampleCount, values ? `of ${count(values[countKey])}` : '');
    if (describe) this.#drawing.setAttribute('aria-label', `${this.summary}. Lines over the last ${describe}`);
    this.#table.element.hidden = !hasTable;
    if (hasTable) this.#drawTable(shown);
  }

  /** Draws the values at the start, in the middle and at the end of the time axis, and the peaks. */
  #drawTable(shown) {
    const { format, title } = this.#spec;
    const [start, , middle, , end] = [...this.#times.children].map((time) => time.textContent);
    const readings = [shown.spanS, shown.spanS / 2, 0].map((ago) => shown.reading(ago));
    this.#table.draw([`${start} ago`, `${middle} ago`, end, 'peak'], this.#lines.map(({ key, name }) => [
      name || title,
      ...readings.map((values) => format(values?.[key])),
      format(shown.extent([key])?.high),
    ]));
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
    this.#lineGroup.replaceChildren(...this.#lines.toReversed().flatMap(({ path, dot }) => [path, dot]));
    this.#legend.replaceChildren(...this.#lines.map(({ entry }) => entry));
  }

  /** Sets the labels of the time axis, from the left. */
  setTimes(names) {
    [...this.#times.children].forEach((time, n) => write(time, names[n]));
  }

  get #isFilled() {
    return this.#lines.length === 1 && !this.#spec.prefix;
  }

  /** The title and the legend as text. */
  get summary() {
    const readings = this.#lines.map(({ name, value }) => `${name} ${value.textContent}`.trim()).filter(Boolean);
    return [this.#spec.title, readings.join(', ')].filter(Boolean).join(': ');
  }

  #scale(extent, log) {
    const { minStep = 0, canLog, unitFactor } = this.#spec;
    if (extent === null) return { ticks: [], at: () => 0 };
    const high = Math.max(extent.high, this.#threshold ?? 0);
    if (log && canLog && high > 0) return logScale(extent.above || high, high);
    const unit = unitFactor && high >= unitFactor ? unitFactor : 1;
    const closest = Math.max(minStep, unit === 1 ? 0 : high / 100) / unit;
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
