import assert from 'node:assert/strict';
import { test } from 'node:test';

import { groupByDay } from '../../src/tokenfall/web/date_groups.js';

const NOW = new Date(2026, 2, 10, 0, 30); // shortly after local midnight
const at = (...date) => new Date(...date).getTime() / 1000;
const names = (conversations, now = NOW) => groupByDay(conversations, now).map((group) => [group.name, group.conversations.map(({ id }) => id)]);

test('days start at local midnight', () => {
  const times = { now: at(2026, 2, 10, 0, 29), evening: at(2026, 2, 9, 23, 59), before: at(2026, 2, 8, 23, 59), week: at(2026, 2, 3), older: at(2026, 2, 2, 23, 59) };
  assert.deepEqual(names(Object.entries(times).map(([id, atS]) => ({ id, last_activity: atS }))), [
    ['Today', ['now']],
    ['Yesterday', ['evening']],
    ['Previous 7 days', ['before', 'week']],
    ['Older', ['older']],
  ]);
});

test('pinned conversations come first; the order within a group is unchanged', () => {
  const conversations = [
    { id: 'a', last_activity: at(2026, 2, 10) },
    { id: 'b', last_activity: at(2020, 0, 1), pinned: true },
    { id: 'c', last_activity: at(2026, 2, 10), pinned: false },
    { id: 'd', last_activity: at(2026, 2, 10), pinned: true },
  ];
  assert.deepEqual(names(conversations), [['Pinned', ['b', 'd']], ['Today', ['a', 'c']]]);
});

test('a future time is today, and a missing time is the oldest group', () => {
  assert.deepEqual(names([{ id: 'a', last_activity: at(2026, 2, 11) }, { id: 'b' }]), [['Today', ['a']], ['Older', ['b']]]);
});

test('an empty list has no groups', () => assert.deepEqual(groupByDay([]), []));
