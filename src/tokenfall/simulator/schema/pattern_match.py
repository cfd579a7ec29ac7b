"""Matches a text against a pattern tree, without backtracking. Pure.

All positions that a match can have reached are processed at once, as bits of an integer. So a node is never evaluated
twice at the same position, and the work is proportional to the tree's size times the text's length.
"""

from typing import assert_never

from tokenfall.simulator.schema.budget import Budget
from tokenfall.simulator.schema.pattern_chars import ESCAPED_CLASSES, Chars
from tokenfall.simulator.schema.patterns import Alternation, Assertion, Concat, Node, Repeat


def matches(tree: Node, text: str, *, budget: Budget) -> bool:
    """Whether `tree` matches anywhere in `text`."""
    every_position = (1 << (len(text) + 1)) - 1
    return _Positions(text, budget).after(tree, every_position) != 0


class _Positions:
    def __init__(self, text: str, budget: Budget) -> None:
        self._text = text
        self._chars = frozenset(text)
        self._budget = budget
        self._members: dict[int, int] = {}

    def after(self, node: Node, positions: int) -> int:
        """The end positions of all matches of `node` that begin at `positions`."""
        self._budget.spend(1, "pattern")
        if isinstance(node, Chars):
            return (positions & self._positions_of(node)) << 1
        if isinstance(node, Concat):
            for item in node.items:
                if not positions:
                    break
                positions = self.after(item, positions)
            return positions
        if isinstance(node, Alternation):
            ends = 0
            for option in node.options:
                ends |= self.after(option, positions)
            return ends
        if isinstance(node, Repeat):
            return self._repeated(node, positions)
        if isinstance(node, Assertion):
            return positions & self._assertion_positions(node)
        assert_never(node)

    def _repeated(self, node: Repeat, positions: int) -> int:
        for _ in range(node.least):
            before, positions = positions, self.after(node.body, positions)
            if positions in (0, before):  # further copies change nothing
                break
        ends = fresh = positions
        for _ in range(node.most - node.least):
            fresh = self.after(node.body, fresh) & ~ends
            if not fresh:
                break
            ends |= fresh
        return ends

    def _positions_of(self, chars: Chars) -> int:
        """The positions of the members of `chars` in the text."""
        positions = self._members.get(id(chars))
        if positions is None:
            self._budget.spend(2 + len(self._text) // 16 + len(self._chars) * len(chars.ranges) // 16, "pattern")
            bits = {char: "1" if chars.has(char) else "0" for char in self._chars}
            positions = self._members[id(chars)] = int("0" + "".join([bits[char] for char in reversed(self._text)]), 2)
        return positions

    def _assertion_positions(self, assertion: Assertion) -> int:
        end = len(self._text)
        if assertion.kind == "^":
            return 1
        if assertion.kind == "$":
            return 1 << end
        words = self._positions_of(ESCAPED_CLASSES["w"])
        boundaries = words ^ (words << 1)
        return boundaries if assertion.kind == "b" else ~boundaries
