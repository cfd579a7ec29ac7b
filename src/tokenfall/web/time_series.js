/**
 * Samples over time with gaps, and windows of them.
 *
 * Pure: it must never touch the DOM or a clock (time is passed in), bridge a gap, or keep more than its span.
 */

/** Samples every `stepS` seconds, kept for `spanS` seconds. */
export class TimeSeries {
  #samples = []; // oldest first, each later than the one before
  #spanS;
  #stepS;
  #names = new Set();

  constructor({ spanS, stepS = 1 }) {
    this.#spanS = spanS;
    this.#stepS = stepS;
  }

  /** @param {Object<string, ?number>} values by name; null, NaN or absent: not measured */
  push(at, values) {
    const samples = this.#samples;
    while (samples.length > 0 && samples.at(-1).at >= at) samples.pop(); // the server's clock was set back
    samples.push({ at, values });
    this.#addNames(values);
    this.#trim();
  }

  /** Replaces the samples of a period by `rows`, the last one at the time `at`; a null row was not measured. */
  fill(at, rows) {
    const step = this.#stepS;
    const firstAt = at - (rows.length - 1) * step;
    const added = rows.map((values, n) => ({ at: firstAt + n * step, values })).filter(({ values }) => values !== null);
    if (added.length === 0) return;
    const before = this.#samples.filter((sample) => sample.at < added[0].at - step / 2);
    const after = this.#samples.filter((sample) => sample.at > at);
    this.#samples = [...before, ...added, ...after];
    for (const { values } of added) this.#addNames(values);
    this.#trim();
  }

  /** The samples of the `spanS` seconds before `end`. */
  window(end, spanS) {
    const samples = this.#samples.filter(({ at }) => at >= end - spanS && at <= end);
    return new Window(samples, { end, spanS, stepS: this.#stepS, names: this.#names });
  }

  #addNames(values) {
    for (const name of Object.keys(values)) this.#names.add(name);
  }

  #trim() {
    const samples = this.#samples;
    const firstAt = samples.at(-1).at - this.#spanS;
    const first = Math.max(samples.findIndex(({ at }) => at >= firstAt), samples.length - 2 * this.#spanS / this.#stepS);
    if (first > 0) samples.splice(0, first);
  }
}

/** The samples of a period that ends at `end`. Read-only. */
class Window {
  #samples;
  #end;
  #stepS;
  #names;

  constructor(samples, { end, spanS, stepS, names }) {
    this.#samples = samples;
    this.#end = end;
    this.spanS = spanS;
    this.#stepS = stepS;
    this.#names = names;
  }

  /** Samples further apart than this have a gap between them. Samples of seconds may be late, those of minutes not. */
  get #gapS() {
    return this.#stepS === 1 ? 2.5 : 1.5 * this.#stepS;
  }

  /** The values `ago` seconds before the end, or null without a sample then. */
  reading(ago) {
    const at = this.#end - ago;
    const found = this.#samples.findLast((sample) => sample.at <= at + this.#stepS / 2);
    const tolerance = this.#stepS === 1 ? this.#gapS / 2 : this.#gapS;
    return found && found.at > at - tolerance ? found.values : null;
  }

  /** The lowest value, the lowest above 0 and the highest of these names; null without values. */
  extent(names) {
    let [low, above, high] = [Infinity, Infinity, -Infinity];
    for (const { values } of this.#samples) {
      for (const name of names) {
        const value = values[name];
        if (!Number.isFinite(value)) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
        if (value > 0) above = Math.min(above, value);
      }
    }
    return low > high ? null : { low, above: Math.min(above, high), high };
  }

  /** The names with this prefix and a value above 0: the `max` ones with the highest values, sorted. */
  namesWith(prefix, max) {
    const highs = [...this.#names]
      .filter((name) => name.startsWith(prefix))
      .map((name) => ({ name, high: this.extent([name])?.high ?? 0 }))
      .filter(({ high }) => high > 0)
      .toSorted((a, b) => b.high - a.high);
    return highs.slice(0, max).map(({ name }) => name).toSorted();
  }

  /** The values of a name, split at gaps: arrays of [seconds since the start of the window, value]. */
  runs(name) {
    const runs = [];
    let lastAt = -Infinity;
    const start = this.#end - this.spanS;
    for (const { at, values } of this.#samples) {
      const measured = Number.isFinite(values[name]);
      if (measured && at - lastAt > this.#gapS) runs.push([]);
      if (measured) runs.at(-1).push([at - start, values[name]]);
      lastAt = measured ? at : -Infinity;
    }
    return runs;
  }
}

/**
 * Seconds between two events. The wall clock jumps when it is set, the uptime when another process responds: the smaller
 * difference is used.
 */
export function passedS(before, after) {
  if (before === null) return 0;
  const passed = [after.at - before.at, after.uptime_s - before.uptime_s].filter((seconds) => seconds > 0);
  return passed.length > 0 ? Math.min(...passed) : 1;
}
