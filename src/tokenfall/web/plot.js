/**
 * Lines over the last two minutes as SVG: plots with ticks and a legend, and tiles with a small line.
 *
 * One path a line, set anew once a second; the drawing is stretched by the browser, so nothing is measured and
 * nothing is drawn again when the window changes. It must never decide what a value means, nor speak:
 * labels for screen readers change when told to, and no region is live.
 */

import { count, linearScale, logScale, NONE, tickLabel } from './figures.js';
import { SPAN_S } from './series.js';

const SVG = 'http://www.w3.org/2000/svg';
const TIMES = ['2 min', '90 s', '1 min', '30 s', 'now'];

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

function shape(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A drawing whose x are seconds and whose y are percent from the top. */
function drawing(...children) {
  return shape('svg', { viewBox: `0 0 ${SPAN_S} 100`, preserveAspectRatio: 'none' }, ...children);
}

/** Writes `text` where it is new: what is unchanged costs no layout, and a selection in it stays. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const heightOf = (value, scale) => Math.round(10_000 - 10_000 * scale.at(value)) / 100;

/** Sets the path of a line, on which a run of one is a dot; and of what lies below it, where that is drawn. */
function trace(runs, scale, line, fill) {
  let path = '';
  let area = '';
  for (const run of runs) {
    const points = run.map(([x, value]) => `${Math.round(10 * x) / 10} ${heightOf(value, scale)}`).join('L');
    path += `M${points}${run.length === 1 ? 'h0' : ''}`;
    if (fill) area += `M${points}V100H${run[0][0]}Z`;
  }
  line.setAttribute('d', path);
  fill?.setAttribute('d', area);
}

/** A figure of now, with its line below it. */
export class Tile {
  #key;
  #figure = element('dd', 'figure', NONE);
  #note = element('dd', 'also');
  #line = shape('path', { class: 'line' });
  #fill = shape('path', { class: 'fill' });

  constructor({ key, title }) {
    this.#key = key;
    const spark = element('dd', 'spark', drawing(this.#fill, this.#line));
    spark.setAttribute('aria-hidden', 'true');
    this.element = element('div', 'tile panel', element('dt', '', title), this.#figure, this.#note, spark);
  }

  draw(recent, figure, note) {
    write(this.#figure, figure);
    write(this.#note, note);
    const top = 1.1 * recent.extent([this.#key])?.high || 1;
    trace(recent.runs(this.#key), { at: (value) => value / top }, this.#line, this.#fill);
  }
}

export class Plot {
  #spec;
  #lines;
  #drawing;
  #grid = shape('path', { class: 'grid' });
  #fill = shape('path', { class: 'fill' });
  #cursor = shape('path', { class: 'cursor' });
  #ticks = element('div', 'ticks');
  #times = element('div', 'times', ...TIMES.map((time) => element('span', '', time)));
  #seen = element('span', 'small');
  #nothing = element('p', 'nothing', 'Nothing to show yet');
  #drawnTicks = '';

  /**
   * @param spec `title`; `lines`: [{ key, name }], three at most; `of`, the name of how many the lines are of;
   *   `format(value)`; `fromZero`; `canLog`; `least`, the closest that two ticks may be; `step`, of a larger unit
   * @param onPoint told how many seconds before now the reader points at, or null when no more
   */
  constructor(spec, onPoint) {
    this.#spec = spec;
    this.#lines = spec.lines.map(({ key, name }, n) => {
      const path = shape('path', { class: `line line-${n + 1}` });
      const dot = shape('path', { class: `dot line-${n + 1}` });
      const value = element('b', '', NONE);
      const sample = shape('svg', { class: 'sample', 'aria-hidden': 'true' },
        shape('line', { class: `line line-${n + 1}`, x2: '100%', y1: '50%', y2: '50%' }));
      return { key, name, path, dot, value, entry: element('li', '', sample, name, value) };
    });
    const paths = this.#lines.toReversed().flatMap(({ path, dot }) => [path, dot]);
    const upright = shape('path', { class: 'grid', d: 'M30 0V100M60 0V100M90 0V100' });
    this.#drawing = drawing(upright, this.#grid, this.#fill, this.#cursor, ...paths);
    this.#drawing.setAttribute('role', 'img');
    this.#drawing.setAttribute('aria-label', spec.title);
    const area = element('div', 'area', this.#drawing, this.#nothing);
    watchPointer(area, onPoint);
    for (const hidden of [this.#ticks, this.#times]) hidden.setAttribute('aria-hidden', 'true');
    const legend = element('ul', 'legend', ...this.#lines.map(({ entry }) => entry));
    const caption = element('figcaption', '', element('h3', '', spec.title), this.#seen, legend);
    this.element = element('figure', 'plot panel', caption, element('div', 'frame', this.#ticks, area, this.#times));
  }

  /** @param {{ ago: number, log: boolean, describe: boolean }} options `ago` the time that is read, in seconds */
  draw(recent, { ago, log, describe }) {
    const extent = recent.extent(this.#lines.map(({ key }) => key));
    const scale = this.#scale(extent, log);
    this.#drawTicks(scale);
    this.#nothing.hidden = extent !== null;
    this.#cursor.setAttribute('d', ago > 0 ? `M${SPAN_S - ago} 0V100` : '');
    const values = recent.reading(ago);
    for (const { key, path, dot, value } of this.#lines) {
      trace(recent.runs(key), scale, path, this.#isFilled ? this.#fill : null);
      const read = values?.[key];
      const marked = ago > 0 && Number.isFinite(read);
      dot.setAttribute('d', marked ? `M${SPAN_S - ago} ${heightOf(read, scale)}h0` : '');
      write(value, this.#spec.format(read));
    }
    if (this.#spec.of) write(this.#seen, values ? `of ${count(values[this.#spec.of])}` : '');
    if (describe) this.#drawing.setAttribute('aria-label', `${this.summary}. Lines over the last 2 minutes`);
  }

  /** What the right end of the time axis is called. */
  tellEnd(name) {
    write(this.#times.lastChild, name);
  }

  /** What lies below a line means something where it begins at nothing. */
  get #isFilled() {
    return this.#lines.length === 1 && this.#spec.fromZero;
  }

  /** What the legend shows, in one phrase. */
  get summary() {
    const { title } = this.#spec;
    const readings = this.#lines.map(({ name, value }) => `${name} ${value.textContent}`.trim());
    return `${title}: ${readings.join(', ')}`;
  }

  #scale(extent, log) {
    const { fromZero, least, canLog, step } = this.#spec;
    if (extent === null) return { ticks: [], at: () => 0 };
    if (log && canLog && extent.high > 0) return logScale(extent.above, extent.high);
    const unit = step && extent.high >= step ? step : 1;
    const closest = Math.max(least ?? 0, unit === 1 ? 0 : extent.high / 100) / unit;
    const { ticks, at } = linearScale(fromZero ? 0 : extent.low / unit, extent.high / unit, closest || undefined);
    return { ticks: ticks.map((tick) => tick * unit), at: (value) => at(value / unit) };
  }

  #drawTicks({ ticks, at }) {
    const drawn = ticks.join();
    if (drawn === this.#drawnTicks) return;
    this.#drawnTicks = drawn;
    this.#grid.setAttribute('d', ticks.map((tick) => `M0 ${100 - 100 * at(tick)}H${SPAN_S}`).join(''));
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
    const passed = Math.min(Math.max((event.clientX - left) / width, 0), 1);
    onPoint(Math.round((1 - passed) * SPAN_S));
  };
  area.addEventListener('pointerdown', point);
  area.addEventListener('pointermove', point);
  for (const end of ['pointerleave', 'pointercancel']) area.addEventListener(end, () => onPoint(null));
}
