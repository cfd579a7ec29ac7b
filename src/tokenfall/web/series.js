/**
 * What the server told in the last two minutes, second by second, with the gaps in it.
 *
 * Pure: it must never touch the DOM or a clock (time is what the server says it is), bridge a gap,
 * or keep more than MOST samples, however many come.
 */

/** How far back samples are kept, seconds. */
export const SPAN_S = 120;

/** Samples further apart than this have a gap between them: one comes a second. */
const GAP_S = 2.5;

const MOST = 2 * SPAN_S;

export class Recent {
  #samples = []; // oldest first, each later than the one before

  /** @param {Object<string, ?number>} values by name; null, NaN or absent: nothing was measured */
  push(at, values) {
    const kept = this.#samples;
    while (kept.length > 0 && kept.at(-1).at >= at) kept.pop(); // the server's clock was set back
    kept.push({ at, values });
    while (kept[0].at < at - SPAN_S || kept.length > MOST) kept.shift();
  }

  /** The values `ago` seconds before the newest, or null where nothing was told about that time. */
  reading(ago) {
    const at = this.#samples.at(-1)?.at - ago;
    const found = this.#samples.findLast((sample) => sample.at <= at + 0.5);
    return found && found.at > at - GAP_S / 2 ? found.values : null;
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

  /** The values of a name without their gaps: runs of [seconds since SPAN_S before the newest, value]. */
  runs(name) {
    const runs = [];
    let lastAt = -Infinity;
    const start = this.#samples.at(-1)?.at - SPAN_S;
    for (const { at, values } of this.#samples) {
      const measured = Number.isFinite(values[name]);
      if (measured && at - lastAt > GAP_S) runs.push([]);
      if (measured) runs.at(-1).push([at - start, values[name]]);
      lastAt = measured ? at : -Infinity;
    }
    return runs;
  }
}

/**
 * How long it was from one telling to the next, in seconds. Both clocks may jump: the day's when somebody sets it, the
 * server's own when another process answers; the one that went less far is believed.
 */
export function passedS(before, after) {
  if (before === null) return 0;
  const passed = [after.at - before.at, after.uptime_s - before.uptime_s].filter((seconds) => seconds > 0);
  return passed.length > 0 ? Math.min(...passed) : 1;
}

/**
 * How often a second each request was counted between two tellings: a Map by `requestKey`.
 * Null when they cannot be compared: there is none before, or the server began anew.
 */
export function requestRates(before, after) {
  if (before === null || after.uptime_s <= before.uptime_s) return null;
  const passed = passedS(before, after);
  const counted = new Map(before.requests.map((entry) => [requestKey(entry), entry.count]));
  return new Map(after.requests.map((entry) => {
    const key = requestKey(entry);
    return [key, Math.max(0, entry.count - (counted.get(key) ?? 0)) / passed];
  }));
}

export function requestKey({ route, status }) {
  return `${status} ${route}`;
}
