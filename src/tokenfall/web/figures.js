/**
 * Formats of numbers, rates, bytes and times, and the scales of plots with their ticks.
 *
 * Pure: it must never touch the DOM or a clock, or show more than three digits of a measurement. A value that was not
 * measured is a dash.
 */

export const NONE = '–';

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** Three digits of `value` in the largest of `units` that is not too large; `step` leads from one to the next. */
function inUnits(value, units, step) {
  let rest = value;
  let unit = 0;
  while (unit < units.length - 1 && rest >= step - 0.5) {
    rest /= step;
    unit += 1;
  }
  return `${rest >= 100 ? grouped.format(rest) : rest.toPrecision(3)} ${units[unit]}`;
}

/** A count, in full: "1,234". */
export function count(value) {
  return Number.isFinite(value) ? grouped.format(value) : NONE;
}

/** A rate per second, in the format of the chat's pace: "3.2", "512", "1.23 M". */
export function rate(value) {
  if (!Number.isFinite(value)) return NONE;
  if (value >= 999_999.5) return inUnits(value / 1e6, ['M', 'G', 'T'], 1000);
  return value === 0 || value >= 99.95 ? grouped.format(value) : value.toFixed(1);
}

/** "512 B", "23.1 MiB" (IEC 80000-13). */
export function bytes(value) {
  if (!Number.isFinite(value)) return NONE;
  return value < 1000 ? `${Math.round(value)} B` : inUnits(value / 1024, ['KiB', 'MiB', 'GiB', 'TiB'], 1024);
}

/** A latency given in seconds: "456 µs", "12.3 ms", "1.50 s". */
export function latency(seconds) {
  if (!Number.isFinite(seconds)) return NONE;
  return seconds === 0 ? '0 s' : inUnits(seconds * 1e6, ['µs', 'ms', 's'], 1000);
}

/** A duration, in its two largest units: "45 s", "2 min", "2 min 3 s". */
export function age(seconds) {
  if (!Number.isFinite(seconds)) return NONE;
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return '0 s';
  return parts.slice(first, first + 2).filter(([amount]) => amount > 0).map((part) => part.join(' ')).join(' ');
}

/** The label of a tick, without trailing zeros: "1.50 s" is "1.5 s". */
export function tickLabel(figure) {
  return figure.replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, '');
}

/** The least of 1, 2, 5, 10, 20 and so on that is not below `least`. */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => power * factor >= least * (1 - 1e-9));
}

/**
 * Even ticks, about four, that hold `low` and `high` between them, none closer than `least`.
 * `at` gives a value's place: 0 at the lowest tick, 1 at the highest.
 */
export function linearScale(low, high, least = 1e-6) {
  const step = niceStep(Math.max((high - low) / 4, least));
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  const ticks = [];
  for (let n = first; n <= last; n += 1) ticks.push(Number((n * step).toPrecision(12)));
  return { ticks, at: (value) => (value / step - first) / (last - first) };
}

const A_DECADE = 3; // steps of 1, 2, 5
const MOST_STEPS = 6 * A_DECADE;

/** The n-th of 1, 2, 5, 10, 20 and so on, also below 1. */
function nice(n) {
  const decade = Math.floor(n / A_DECADE);
  return Number(`${[1, 2, 5][n - A_DECADE * decade]}e${decade}`);
}

/**
 * One to six decades that hold `low` and `high`, both above 0, between them: up to two from 1, 2 or 5 to such a number,
 * more from 1 to 1. What is lower, down to 0, lies at the bottom.
 */
export function logScale(low, high) {
  let first = A_DECADE * Math.floor(Math.log10(low) + 1e-9);
  let last = A_DECADE * Math.ceil(Math.log10(high) - 1e-9);
  while (nice(first + 1) <= low) first += 1;
  while (nice(last - 1) >= high) last -= 1;
  last = Math.max(last, first + A_DECADE);
  const each = last - first > 2 * A_DECADE ? A_DECADE : 1;
  last = each * Math.ceil(last / each);
  first = Math.max(each * Math.floor(first / each), last - MOST_STEPS);
  const ticks = [];
  for (let n = first; n <= last; n += each) ticks.push(nice(n));
  const bottom = Math.log10(nice(first));
  const height = Math.log10(nice(last)) - bottom;
  return { ticks, at: (value) => (value > 0 ? Math.max(0, (Math.log10(value) - bottom) / height) : 0) };
}
