/**
 * Conversations in the groups of the list: pinned, then by the day of their last activity in the user's time zone.
 *
 * Pure: it must never touch the DOM, or change the order within a group.
 */

const DAYS = [['Today', 0], ['Yesterday', 1], ['Previous 7 days', 7], ['Older', Infinity]];

/** When the day `days` before that of `now` began, in Unix seconds; a day has 23 to 25 hours. */
function dayBefore(now, days) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).getTime() / 1000;
}

/** The groups that have conversations: [{ name, conversations }]. */
export function groupByDay(conversations, now = new Date()) {
  const starts = DAYS.map(([name, days]) => [name, days === Infinity ? -Infinity : dayBefore(now, days)]);
  const groups = new Map([['Pinned', []], ...DAYS.map(([name]) => [name, []])]);
  for (const conversation of conversations) {
    const { pinned, last_activity: atS } = conversation;
    const [day] = starts.find(([, start]) => atS >= start) ?? starts.at(-1);
    groups.get(pinned ? 'Pinned' : day).push(conversation);
  }
  return [...groups].map(([name, members]) => ({ name, conversations: members })).filter((group) => group.conversations.length > 0);
}
