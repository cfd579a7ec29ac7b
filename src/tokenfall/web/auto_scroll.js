/**
 * Keeps the end of a scrolling box in view while its content grows, until the user scrolls up.
 *
 * Scrolling to the end or pressing the button starts it again. An empty box is shown from its start.
 */

const NEAR_PX = 24;
const UPWARD = new Set(['ArrowUp', 'PageUp', 'Home']);

export class AutoScroll {
  #box;
  #content;
  #button;
  #following = true;
  #topPx = 0;
  #endPx = 0; // scrollTop at the end

  constructor(box, content, button) {
    this.#box = box;
    this.#content = content;
    this.#button = button;
    box.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    // Before the scroll event: a smooth scroll starts with less than a pixel, and #jump would end it.
    box.addEventListener('wheel', (event) => wheelsUp(event) && this.#stopFollowing(), { passive: true });
    box.addEventListener('keydown', (event) => leadsUp(event) && this.#stopFollowing());
    button.addEventListener('click', () => {
      this.toEnd();
      box.focus({ preventScroll: true });
    });
    // The box is resized when the text area grows or a phone's keyboard opens.
    new ResizeObserver(() => this.update()).observe(box);
  }

  /** Called after the content has grown. */
  update() {
    if (this.#following && !this.#isEmpty) this.#jump();
    else this.#showButton();
  }

  toEnd() {
    this.#following = true;
    this.#jump();
  }

  #jump() {
    this.#box.scrollTop = this.#isEmpty ? 0 : this.#box.scrollHeight;
    this.#savePosition();
    this.#showButton();
  }

  #savePosition() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    this.#topPx = scrollTop;
    this.#endPx = scrollHeight - clientHeight;
  }

  #stopFollowing() {
    if (this.#box.scrollTop === 0) return; // already at the top
    this.#following = false;
    this.#showButton();
  }

  #onScroll() {
    const movedPx = this.#box.scrollTop - this.#topPx;
    if (Math.abs(movedPx) < 1) return; // a rounding error
    const endPx = this.#endPx;
    this.#savePosition();
    const belowPx = this.#endPx - this.#topPx;
    const byReader = this.#endPx >= endPx; // not because the content shrank or the box grew
    if (movedPx < 0 && byReader) this.#following = false;
    else if (belowPx <= (movedPx < 0 ? 1 : NEAR_PX)) this.#following = true;
    this.#showButton();
  }

  get #isEmpty() {
    return this.#content.childElementCount === 0;
  }

  #showButton() {
    this.#button.hidden = this.#following || this.#isEmpty;
  }
}

/** Whether a wheel event scrolls the box up. Ctrl zooms, and a text area scrolls itself. */
function wheelsUp({ deltaY, ctrlKey, target }) {
  return deltaY < 0 && !ctrlKey && !isText(target);
}

/** Whether a key scrolls the box up. In a text field it moves the cursor. */
function leadsUp({ key, shiftKey, target }) {
  return (UPWARD.has(key) || (key === ' ' && shiftKey)) && !isText(target);
}

const isText = (target) => target.matches('textarea, input');
