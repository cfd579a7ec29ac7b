/**
 * Samples over time, with the gaps in them, and the part of them that is shown.
 *
 * Pure: it must never touch the DOM or a clock (time is passed in), bridge a gap, or keep more than its span.
 */

/** Samples of one step. `stepS` is the time between two, `spanS` how far back they are kept, both in seconds. */
export class TimeSeries {
  #samples = []; // oldest first, each later than the one before
  #spanS;
  #stepS;
  #names = new Set();

  constructor({ spanS, stepS = 1 }) {
    this.#spanS = spanS;
    this.#stepS = stepS;
  }

  /** @param {Object<string, ?number>} values by name; null, NaN or absent: nothing was measured */
  push(at, values) {
    const kept = this.#samples;
    while (kept.length > 0 && kept.at(-1).at >= at) kept.pop(); // the server's clock was set back
    kept.push({ at, values });
    this.#addNames(values);
    this.#trim();
  }

  /** Puts rows in the place of the samples of their time. The last row is of `at`; a row that is null was not measured. */
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

  /** The part that ends at `end` and is `spanS` long. */
  window(end, spanS) {
    const samples = this.#samples.filter(({ at }) => at >= end - spanS && at <= end);
    return new Window(samples, { end, spanS, stepS: this.#stepS, names: this.#names });
  }

  #addNames(values) {
    for (const name of Object.keys(values)) this.#names.add(name);
  }

  #trim() {
    const kept = this.#samples;
    const firstAt = kept.at(-1).at - this.#spanS;
    const first = Math.max(kept.findIndex(({ at }) => at >= firstAt), kept.length - 2 * this.#spanS / this.#stepS);
    if (first > 0) kept.splice(0, first);
  }
}

/** What is shown: samples of a time that ends at `end`. Read only. */
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

  /** Samples further apart than this have a gap between them. Seconds may be late, minutes are exact. */
  get #gapS() {
    return this.#stepS === 1 ? 2.5 : 1.5 * this.#stepS;
  }

  /** The values `ago` seconds before the end, or null where nothing is known about that time. */
  reading(ago) {
    const at = this.#end - ago;
    const found = this.#samples.findLast((sample) => sample.at <= at + this.#stepS / 2);
    const tolerance = this.#stepS === 1 ? this.#gapS / 2 : this.#gapS;
    return found && found.at > at - tolerance ? found.values : null;
  }

  /** The lowest, the lowest above 0 and the highest of the values with these names, or null without any. */
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

  /** The names that begin with `prefix` and have a value above 0: the `most` with the highest ones, in order. */
  namesWith(prefix, most) {
    const highs = [...this.#names]
      .filter((name) => name.startsWith(prefix))
      .map((name) => ({ name, high: this.extent([name])?.high ?? 0 }))
      .filter(({ high }) => high > 0)
      .toSorted((a, b) => b.high - a.high);
    return highs.slice(0, most).map(({ name }) => name).toSorted();
  }

  /** The values of a name without their gaps: runs of [seconds since the start of the window, value]. */
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
 * Seconds between two events. Both clocks may jump: the wall clock when it is set, the uptime when another process
 * responds; the smaller difference is used.
 */
export function passedS(before, after) {
  if (before === null) return 0;
  const passed = [after.at - before.at, after.uptime_s - before.uptime_s].filter((seconds) => seconds > 0);
  return passed.length > 0 ? Math.min(...passed) : 1;
}
