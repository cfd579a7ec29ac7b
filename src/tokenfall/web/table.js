/**
 * Splits the rows of a GFM table into cells. Pure.
 */

/** The delimiter row, which makes the row before it a header. */
export const DELIMITERS = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$/;
const CELL_END = /(?<!\\)\|/;

export function cellsOf(row) {
  const cells = row.trim().split(CELL_END).map((cell) => cell.trim());
  if (cells[0] === '') cells.shift();
  if (cells.at(-1) === '') cells.pop();
  return cells.map((cell) => cell.replaceAll('\\|', '|'));
}

export function alignOf(dashes) {
  if (!dashes.endsWith(':')) return ''; // also for a colon at the left: the default is correct for both directions
  return dashes.startsWith(':') ? 'center' : 'right';
}

export function aligned(cells, aligns) {
  return cells.map((text, i) => ({ type: 'cell', align: aligns[i], text }));
}
