/**
 * The values that the dashboard plots, by name, from an event or from the history.
 *
 * Both use the same names: `streams`, `memory`, `ttft_p50` and so on; `error:CODE`, `upstream:CODE` and `model:NAME` are
 * known only at run time. Pure: it must never touch the DOM or a clock.
 */

import { passedS } from './time_series.js';

export const MIB = 2 ** 20;

/** Gauges: [name, field of an event and of the history, unit]. */
const GAUGES = [
  ['streams', 'streams', 1],
  ['connections', 'connections', 1],
  ['tokens', 'tokens_per_s', 1],
  ['requests', 'requests_per_s', 1],
  ['memory', 'resident_bytes', MIB],
  ['request_memory', 'request_memory_bytes', MIB],
  ['response_memory', 'response_memory_bytes', MIB],
];
const LATENCIES = ['ttft', 'inter_token', 'ticker_late'];
const PERCENTILES = ['p50', 'p90', 'p99'];

/** The requests of an event; streams that failed after their status was sent are separate entries. */
export function splitFailed(requests) {
  return requests.flatMap(({ failed = 0, ...entry }) => {
    const others = { ...entry, count: entry.count - failed };
    return failed > 0 ? [...(others.count > 0 ? [others] : []), { ...entry, count: failed, failed: true }] : [others];
  });
}

export function requestKey({ route, status, failed }) {
  return `${failed ? 'failed' : status} ${route}`;
}

/**
 * The requests per second between two events: a Map by `requestKey`. Null if they cannot be compared: there is no
 * earlier event, or the server was restarted.
 */
export function requestRates(before, after) {
  if (!areComparable(before, after)) return null;
  const counts = (event) => splitFailed(event.requests).map((entry) => [requestKey(entry), entry.count]);
  return rates(new Map(counts(before)), counts(after), passedS(before, after));
}

const areComparable = (before, after) => before !== null && after.uptime_s > before.uptime_s;

/** Rates by name; `after` has [name, count] pairs. */
function rates(before, after, passed) {
  return new Map(after.map(([name, count]) => [name, Math.max(0, count - (before.get(name) ?? 0)) / passed]));
}

/** Error counts by name: statuses, failed streams, upstream errors. */
function errorsOf({ requests, upstream_errors: upstream = {} }) {
  const counts = new Map(Object.entries(upstream).map(([code, count]) => [`upstream:${code}`, count]));
  for (const { status, failed, count } of splitFailed(requests)) {
    const name = failed ? 'error:failed' : `error:${status}`;
    if (failed || status >= 400) counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return counts;
}

/** The values of an event. Error rates need the event before it, null for none. */
export function valuesOf(event, before) {
  const values = Object.fromEntries(GAUGES.map(([name, field, unit]) => [name, event[field] / unit]));
  for (const latency of LATENCIES) {
    for (const p of PERCENTILES) values[`${latency}_${p}`] = event[latency]?.[`${p}_s`];
    values[`${latency}_count`] = event[latency]?.count ?? 0;
  }
  for (const { model, p90_s: value } of event.upstream_ttft ?? []) values[`model:${model}`] = value;
  if (!areComparable(before, event)) return values;
  const errors = rates(errorsOf(before), [...errorsOf(event)], passedS(before, event));
  return { ...values, ...Object.fromEntries(errors) };
}

/** The rows of a history, oldest first; a row without measurements is null. */
export function rowsOf(history) {
  const inUnit = (column, unit) => column.map((value) => (value === null ? null : value / unit));
  const columns = GAUGES.map(([name, field, unit]) => [name, inUnit(history[field], unit)]);
  for (const latency of LATENCIES) {
    for (const p of PERCENTILES) columns.push([`${latency}_${p}`, history[`${latency}_${p}_s`]]);
    columns.push([`${latency}_count`, history[`${latency}_count`]]);
  }
  const groups = { error: history.errors, upstream: history.upstream_errors, model: history.upstream_ttft_p90_s };
  for (const [prefix, group] of Object.entries(groups)) {
    for (const [name, column] of Object.entries(group)) columns.push([`${prefix}:${name}`, column]);
  }
  return history.streams.map((streams, n) =>
    (streams === null ? null : Object.fromEntries(columns.map(([name, column]) => [name, column[n]]))));
}
