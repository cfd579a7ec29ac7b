/**
 * How fast a response was, as DOM: a small word, and the figures once somebody points at it, comes to it or taps it.
 *
 * It must never keep the figures from a screen reader, which reads them as the button's name.
 */

/** @param pace the figures as pace.js words them */
export function timing(pace) {
  const button = document.createElement('button');
  const figures = document.createElement('span');
  figures.className = 'pace';
  figures.append(pace);
  button.type = 'button';
  button.className = 'action timing';
  button.setAttribute('aria-expanded', 'false');
  button.append('Speed ', figures);
  button.addEventListener('click', () => {
    button.setAttribute('aria-expanded', String(button.getAttribute('aria-expanded') !== 'true'));
  });
  return button;
}
