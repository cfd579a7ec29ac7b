/**
 * A plot's values as a table: the text alternative of its lines.
 *
 * Each row is a line, each column a time of the plot or the peak. It must never redraw an unchanged cell, which would
 * interrupt a screen reader.
 */

import { element } from './elements.js';

export class PlotTable {
  #head = element('tr', '');
  #body = element('tbody', '');

  /** @param title of the plot */
  constructor(title) {
    this.element = element('table', 'values', element('caption', 'unseen', title), element('thead', '', this.#head), this.#body);
    this.element.hidden = true;
  }

  /** Draws `columns`, the names of the columns after the first, and `rows`, each [name, ...values]. */
  draw(columns, rows) {
    fit(this.#head, ['Line', ...columns], () => headCell('col'));
    const body = this.#body;
    while (body.rows.length > rows.length) body.deleteRow(-1);
    while (body.rows.length < rows.length) body.append(element('tr', ''));
    rows.forEach((row, n) => fit(body.rows[n], row, (column) => (column === 0 ? headCell('row') : element('td', ''))));
  }
}

function headCell(scope) {
  const cell = element('th', '');
  cell.scope = scope;
  return cell;
}

/** Makes a row have these texts in its cells; `create` returns the cell of a column. */
function fit(row, texts, create) {
  while (row.cells.length > texts.length) row.deleteCell(-1);
  for (let n = row.cells.length; n < texts.length; n += 1) row.append(create(n));
  texts.forEach((text, n) => {
    if (row.cells[n].textContent !== text) row.cells[n].textContent = text;
  });
}
