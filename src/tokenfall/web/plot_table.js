/**
 * A plot's values as a table: the text alternative of its lines.
 *
 * Each row is a line, each column a time of the plot or the peak. It must never redraw an unchanged cell, which would
 * interrupt a screen reader.
 */

import { create, element, resize, write } from './elements.js';

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
    fill(this.#head, ['Line', ...columns], () => headCell('col'));
    resize(this.#body, rows.length, () => element('tr', ''));
    rows.forEach((row, n) => fill(this.#body.rows[n], row, (column) => (column === 0 ? headCell('row') : element('td', ''))));
  }
}

const headCell = (scope) => create('th', { scope });

/** Makes a row have these texts in its cells; `cellOf` returns a new cell for a column. */
function fill(row, texts, cellOf) {
  resize(row, texts.length, cellOf);
  texts.forEach((text, n) => write(row.cells[n], text));
}
