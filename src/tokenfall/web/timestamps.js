/**
 * The time of a message, in the user's language and time zone.
 */

import { create } from './elements.js';

const TIME = { hour: 'numeric', minute: '2-digit' };

/** "14:05" today, "28 Nov, 14:05" on another day, with the year if it is not this one. */
export function shortTime(atS, now = new Date(), language = undefined) {
  const at = new Date(atS * 1000);
  const isThisYear = at.getFullYear() === now.getFullYear();
  const day = at.toDateString() === now.toDateString() ? {} : { day: 'numeric', month: 'short', ...(!isThisYear && { year: 'numeric' }) };
  return new Intl.DateTimeFormat(language, { ...day, ...TIME }).format(at);
}

export function fullTime(atS, language = undefined) {
  return new Intl.DateTimeFormat(language, { dateStyle: 'full', timeStyle: 'medium' }).format(new Date(atS * 1000));
}

/** Sets the time shown at the end of `message`, in Unix seconds; none if it is unknown. */
export function stamp(message, atS) {
  if (!Number.isFinite(atS)) return;
  const attributes = { class: 'at', datetime: new Date(atS * 1000).toISOString(), title: fullTime(atS) };
  message.querySelector('.actions').append(create('time', attributes, shortTime(atS)));
}
