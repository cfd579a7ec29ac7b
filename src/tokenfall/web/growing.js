/**
 * Text that grows at its end inside one element, cheap however long it gets.
 *
 * Each finished line or run of lines is a block of its own, so that the browser lays out only the last one
 * again: as one block, appending to 10,000 tokens took Chromium a whole frame.
 * It must never change a block that is closed, nor add or drop a character: textContent is what was appended.
 */

export class GrowingText {
  #box;
  #last = null;

  /** @param box an element with `white-space: pre-wrap`; its content is replaced */
  constructor(box) {
    this.#box = box;
    box.replaceChildren();
    this.#openBlock();
  }

  append(text) {
    const end = text.lastIndexOf('\n') + 1;
    if (end > 0) {
      this.#last.appendData(text.slice(0, end));
      this.#openBlock();
    }
    if (end < text.length) this.#last.appendData(text.slice(end));
  }

  #openBlock() {
    const block = document.createElement('div');
    this.#last = document.createTextNode('');
    block.append(this.#last);
    this.#box.append(block);
  }
}
