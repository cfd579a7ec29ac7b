/**
 * Keeps the end of a scrolling box in view while its content grows, if the user has not scrolled up.
 *
 * The first upward scroll stops that; scrolling to the end or the button starts it again. It must never scroll otherwise;
 * a box without content is shown from its start.
 */

const NEAR_PX = 24;
const UPWARD = new Set(['ArrowUp', 'PageUp', 'Home']);

export class AutoScroll {
  #box;
  #content;
  #button;
  #following = true;
  #topPx = 0;
  #endPx = 0; // where the top is when the end is in view

  constructor(box, content, button) {
    this.#box = box;
    this.#content = content;
    this.#button = button;
    box.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    // These come before the scrolling: a smooth scroll starts with less than a pixel, and a jump would end it.
    box.addEventListener('wheel', (event) => wheelsUp(event) && this.#stopFollowing(), { passive: true });
    box.addEventListener('keydown', (event) => leadsUp(event) && this.#stopFollowing());
    button.addEventListener('click', () => {
      this.toEnd();
      box.focus({ preventScroll: true });
    });
    // The box changes its height when the text area grows or a phone's keyboard opens.
    new ResizeObserver(() => this.update()).observe(box);
  }

  /** Call after the content grew. */
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
    if (this.#box.scrollTop === 0) return; // at the top already
    this.#following = false;
    this.#showButton();
  }

  #onScroll() {
    const movedPx = this.#box.scrollTop - this.#topPx;
    if (Math.abs(movedPx) < 1) return; // rounded
    const endPx = this.#endPx;
    this.#savePosition();
    const leftPx = this.#endPx - this.#topPx;
    const byReader = this.#endPx >= endPx; // else the content shrank, or the box grew
    if (movedPx < 0 && byReader) this.#following = false;
    else if (leftPx <= (movedPx < 0 ? 1 : NEAR_PX)) this.#following = true;
    this.#showButton();
  }

  get #isEmpty() {
    return this.#content.childElementCount === 0;
  }

  #showButton() {
    this.#button.hidden = this.#following || this.#isEmpty;
  }
}

/** Whether a wheel scrolls up: with Ctrl it makes the page larger, and a text area scrolls itself. */
function wheelsUp({ deltaY, ctrlKey, target }) {
  return deltaY < 0 && !ctrlKey && !isText(target);
}

/** Whether a key scrolls up. In a text it moves the cursor. */
function leadsUp({ key, shiftKey, target }) {
  return (UPWARD.has(key) || (key === ' ' && shiftKey)) && !isText(target);
}

const isText = (target) => target.matches('textarea, input');
