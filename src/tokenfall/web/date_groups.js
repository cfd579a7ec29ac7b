/**
 * Groups conversations: pinned, then by the day of their last activity in the user's time zone. Order is preserved.
 */

const DAYS = [['Today', 0], ['Yesterday', 1], ['Previous 7 days', 7], ['Older', Infinity]];

/** The start of the day `days` before `now`, in Unix seconds. A day has 23 to 25 hours. */
function dayBefore(now, days) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).getTime() / 1000;
}

/** The groups that are not empty: [{ name, conversations }]. */
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
