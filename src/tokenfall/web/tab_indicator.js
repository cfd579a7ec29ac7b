/**
 * The tab's title and icon, which show that a response has ended in the background, until the tab is visible.
 *
 * It must never show that for a response that ended while the tab was visible.
 */

const ICON = 'data:image/svg+xml,' + encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0b4f63"/>'
  + '<circle cx="16" cy="16" r="9" fill="#ffd166"/></svg>',
);

export class Attention {
  #icon = document.querySelector('link[rel=icon]');
  #own = this.#icon.getAttribute('href');
  #title = document.title;
  #news = ''; // shown before the title
  #waited = null; // the conversation whose response is under way

  constructor() {
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#show(''));
  }

  setTitle(title) {
    this.#title = title;
    this.#show(this.#news);
  }

  /** A response of `conversation` begins. */
  begin(conversation) {
    this.#waited = conversation;
  }

  /** It has ended with this `status`, '' for an error. */
  end(conversation, status) {
    const isWaited = this.#waited === conversation;
    this.#waited = null;
    if (isWaited && document.visibilityState !== 'visible') this.#show(status || 'Not complete');
  }

  #show(news) {
    this.#news = news;
    document.title = news ? `● ${news} · ${this.#title}` : this.#title;
    const href = news ? ICON : this.#own;
    if (this.#icon.getAttribute('href') !== href) this.#icon.href = href;
  }
}
