/**
 * Keeps the end of a scrolling box in view as it grows, but only while the reader is there.
 *
 * It must never move a reader who scrolled up: the first upward scroll lets go,
 * and only coming back to the end, or the button, takes hold again.
 */

const NEAR_PX = 24;

export class Follow {
  #box;
  #button;
  #following = true;
  #topPx = 0;

  constructor(box, button) {
    this.#box = box;
    this.#button = button;
    box.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    button.addEventListener('click', () => {
      this.toEnd();
      box.focus({ preventScroll: true });
    });
    // The box changes its height when the text area grows or a phone's keyboard opens.
    new ResizeObserver(() => this.keep()).observe(box);
  }

  /** Call after the content grew. */
  keep() {
    if (this.#following) this.#jump();
    else this.#showButton();
  }

  toEnd() {
    this.#following = true;
    this.#jump();
  }

  #jump() {
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#topPx = this.#box.scrollTop;
    this.#showButton();
  }

  #onScroll() {
    const box = this.#box;
    const leftPx = box.scrollHeight - box.clientHeight - box.scrollTop;
    const upward = box.scrollTop < this.#topPx;
    this.#topPx = box.scrollTop;
    if (leftPx <= 1) this.#following = true; // also when the content shrank
    else if (upward) this.#following = false;
    else if (leftPx <= NEAR_PX) this.#following = true;
    this.#showButton();
  }

  #showButton() {
    this.#button.hidden = this.#following;
  }
}
