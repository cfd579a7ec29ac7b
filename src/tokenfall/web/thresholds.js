/**
 * Parses the dashboard's thresholds from its URL: `board?ttft=1s&memory=64MiB`. Pure.
 */

const TIMES = { us: 1e-6, ms: 1e-3, s: 1 };
const SIZES = { KiB: 2 ** -10, MiB: 1, GiB: 2 ** 10 }; // in MiB, as memory is plotted

const TIME = { units: TIMES, expected: 'a time such as 500ms or 2s' };
const SIZE = { units: SIZES, expected: 'a size such as 64MiB' };
const NUMBER = { units: { '': 1 }, expected: 'a number' };

const KINDS = {
  ttft: TIME,
  inter_token: TIME,
  ticker_late: TIME,
  upstream_ttft: TIME,
  errors: NUMBER,
  upstream_errors: NUMBER,
  streams: NUMBER,
  tokens: NUMBER,
  responses: NUMBER,
  memory: SIZE,
  held_memory: SIZE,
};

/** The values by name, and a message about invalid ones, '' without any. */
export function thresholdsOf(search) {
  const values = {};
  const mistakes = [];
  for (const [name, text] of new URLSearchParams(search)) {
    const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : null;
    const value = kind && valueOf(text, kind.units);
    if (kind === null) mistakes.push(`There is no threshold ${name}; there are ${Object.keys(KINDS).join(', ')}.`);
    else if (value === null) mistakes.push(`The threshold ${name} takes ${kind.expected}, not ${text || 'nothing'}.`);
    else values[name] = value;
  }
  return { values, mistakes: mistakes.join(' ') };
}

function valueOf(text, units) {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(text) ?? [];
  return digits !== undefined && Object.hasOwn(units, unit) && Number(digits) > 0 ? Number(digits) * units[unit] : null;
}
