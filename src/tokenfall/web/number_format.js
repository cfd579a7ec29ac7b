/**
 * Formats of numbers, rates, sizes and durations. A value that was not measured is shown as a dash.
 *
 * Pure: it must never touch the DOM or a clock, or show more than three digits of a measurement.
 */

export const NONE = '–';

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** `value` with three digits, in the largest unit that keeps it at 1 or more; `step` is the factor between `units`. */
function inUnits(value, units, step) {
  let rest = value;
  let unit = 0;
  while (unit < units.length - 1 && rest >= step - 0.5) {
    rest /= step;
    unit += 1;
  }
  return `${rest >= 100 ? grouped.format(rest) : rest.toPrecision(3)} ${units[unit]}`;
}

/** A count with all digits: "1,234". */
export function count(value) {
  return Number.isFinite(value) ? grouped.format(value) : NONE;
}

/** A rate per second, in the format of the chat's pace: "0.02", "3.2", "512", "1.23 M". */
export function rate(value) {
  if (!Number.isFinite(value)) return NONE;
  if (value >= 999_999.5) return inUnits(value / 1e6, ['M', 'G', 'T'], 1000);
  if (value > 0 && value < 0.095) return value.toPrecision(1); // a few in a minute must not read as none
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

/** A duration in its two largest units: "45 s", "2 min", "2 min 3 s". */
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

/** A formatted value without trailing zeros, as the label of a tick: "1.5 s" for "1.50 s". */
export function tickLabel(formatted) {
  return formatted.replace(/(\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, '');
}
