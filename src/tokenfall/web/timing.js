/**
 * The speed of a response as DOM: a short label, and the figures on hover, focus or tap.
 *
 * It must never keep the figures from a screen reader, which reads them as the button's name.
 */

/** @param pace the text of pace.js */
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
