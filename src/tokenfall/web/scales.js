/**
 * The scales of plots: ticks, and the position of a value between them.
 *
 * Pure: it must never touch the DOM or a clock.
 */

const STEPS_PER_DECADE = 3; // 1, 2, 5
const MAX_STEPS = 6 * STEPS_PER_DECADE;

/** The n-th number of the series 1, 2, 5, 10, 20, …; below 1 for a negative `n`. */
function nice(n) {
  const decade = Math.floor(n / STEPS_PER_DECADE);
  return Number(`${[1, 2, 5][n - STEPS_PER_DECADE * decade]}e${decade}`);
}

/** The smallest number of the series that is at least `least`. */
function niceStep(least) {
  let n = STEPS_PER_DECADE * Math.floor(Math.log10(least));
  while (nice(n) < least * (1 - 1e-9)) n += 1;
  return nice(n);
}

/**
 * About four evenly spaced ticks whose range includes `low` and `high`, at least `least` apart. `at(value)` is the
 * position on the scale: 0 at the lowest tick, 1 at the highest.
 */
export function linearScale(low, high, least = 1e-6) {
  const step = niceStep(Math.max((high - low) / 4, least));
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  const ticks = [];
  for (let n = first; n <= last; n += 1) ticks.push(Number((n * step).toPrecision(12)));
  return { ticks, at: (value) => (value / step - first) / (last - first) };
}

/**
 * A logarithmic scale of one to six decades whose range includes `low` and `high`, both above 0. Up to two decades have
 * ticks at 1, 2 and 5, more have them at powers of ten only. Values below the range are at the bottom.
 */
export function logScale(low, high) {
  let first = STEPS_PER_DECADE * Math.floor(Math.log10(low) + 1e-9);
  let last = STEPS_PER_DECADE * Math.ceil(Math.log10(high) - 1e-9);
  while (nice(first + 1) <= low) first += 1;
  while (nice(last - 1) >= high) last -= 1;
  last = Math.max(last, first + STEPS_PER_DECADE);
  const each = last - first > 2 * STEPS_PER_DECADE ? STEPS_PER_DECADE : 1;
  last = each * Math.ceil(last / each);
  first = Math.max(each * Math.floor(first / each), last - MAX_STEPS);
  const ticks = [];
  for (let n = first; n <= last; n += each) ticks.push(nice(n));
  const bottom = Math.log10(nice(first));
  const height = Math.log10(nice(last)) - bottom;
  return { ticks, at: (value) => (value > 0 ? Math.max(0, (Math.log10(value) - bottom) / height) : 0) };
}
