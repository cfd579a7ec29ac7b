/**
 * The dashboard's tables: responses by route and status, ends of streams, upstream errors.
 *
 * It must never redraw an unchanged row.
 */

import { requestKey, splitFailed } from './dashboard_values.js';
import { create, element, find, resize } from './elements.js';
import { count, rate } from './number_format.js';

const OUTCOMES = {
  complete: 'Complete',
  left: 'Client disconnected',
  failed: 'Failed',
  stalled: 'Reader stalled',
  cut: 'Cut off',
};

const CLASSES = { 2: 'ok', 3: 'redirect', 4: 'client', 5: 'server' }; // first digit of a status

/** Writes `text` if it has changed. Lines may break after a slash or an underscore. */
function writeBreakable(cell, text) {
  if (cell.textContent === text) return;
  cell.replaceChildren(...text.split(/(?<=[/_])/).flatMap((part) => [part, document.createElement('wbr')]));
}

/** Writes rows of [text or { text, kind }] into a table's body; unchanged cells are not touched. */
function fill(table, rows) {
  const body = table.tBodies[0];
  const width = table.tHead.rows[0].cells.length;
  const shown = rows.length > 0 ? rows : [['None so far', ...Array(width - 1).fill('')]];
  const others = () => Array.from({ length: width - 1 }, () => element('td', ''));
  resize(body, shown.length, () => element('tr', '', create('th', { scope: 'row' }), ...others()));
  shown.forEach((row, n) => row.forEach((value, column) => {
    const cell = body.rows[n].cells[column];
    writeBreakable(cell, value.text ?? value);
    cell.className = value.kind ?? '';
  }));
}

/** Whether an entry is a problem; those are listed first. */
function isTrouble({ status, failed }) {
  return failed || status >= 500 || status === 429;
}

function statusCell({ status, failed }) {
  if (failed) return { text: `${status} failed`, kind: 'kind-5' };
  const hundred = Math.floor(status / 100);
  return { text: `${status} ${CLASSES[hundred] ?? ''}`, kind: `kind-${hundred}` };
}

/** Fills the tables from a sample; `rates` as returned by `requestRates`. */
export function fillTables(sample, rates) {
  const requests = splitFailed(sample.requests).toSorted((a, b) =>
    Number(isTrouble(b) ?? false) - Number(isTrouble(a) ?? false) || b.count - a.count || a.route.localeCompare(b.route));
  fill(find('#requests'), requests.map((entry) => [
    { text: entry.route || 'unknown route', kind: 'mono' },
    statusCell(entry),
    count(entry.count),
    rate(rates?.get(requestKey(entry))),
  ]));
  const byCount = (counts) => Object.entries(counts).toSorted((a, b) => b[1] - a[1]);
  fill(find('#errors'), byCount(sample.upstream_errors).map(([code, n]) => [{ text: code, kind: 'mono' }, count(n)]));
  const ended = { complete: 0, left: 0, failed: 0, cut: 0, ...sample.streams_ended };
  fill(find('#ended'), Object.entries(ended).map(([outcome, n]) => [OUTCOMES[outcome] ?? outcome, count(n)]));
}
