"""Computes the possible text lengths of a pattern tree, and distributes a length among its nodes. Pure.

A set of lengths is an integer bit set: bit n is length n, up to a bound.
"""

from collections.abc import Iterator
from typing import assert_never

from tokenfall.simulator.schema.budget import Budget, unsatisfiable
from tokenfall.simulator.schema.pattern_chars import Chars, Readable, readable
from tokenfall.simulator.schema.patterns import UNBOUNDED, Alternation, Assertion, Concat, Node, Repeat


class Lengths:
    """The lengths up to `bound` of the nodes of one tree, computed on demand and cached by node identity."""

    def __init__(self, budget: Budget, *, bound: int) -> None:
        self.bound = bound
        self._all = (2 << bound) - 1
        self._budget = budget
        self._usual: dict[int, int] = {}
        self._sets: dict[int, int] = {}
        self._repeated: dict[tuple[int, int, int], int] = {}
        self._readable: dict[int, Readable] = {}

    def readable(self, chars: Chars) -> Readable:
        """The preferred members of `chars`. Raises `Unsatisfiable` if JSON can encode none of them."""
        known = self._readable.get(id(chars))
        if known is None:
            self._budget.spend(8 + len(chars.ranges), "pattern")
            known = self._readable[id(chars)] = readable(chars)
        if not known.members:
            raise unsatisfiable("`pattern`: a class has only surrogates")
        return known

    def usual(self, node: Node) -> int:
        """The length of the default text of `node`, if every length is free."""
        known = self._usual.get(id(node))
        if known is None:
            self._budget.spend(1, "pattern")
            known = self._usual[id(node)] = self._usual_of(node)
        return known

    def _usual_of(self, node: Node) -> int:
        if isinstance(node, Chars):
            return 1
        if isinstance(node, Concat):
            return sum(map(self.usual, node.items))
        if isinstance(node, Alternation):
            return self.usual(node.options[0])
        if isinstance(node, Repeat):
            return self.usual_count(node) * self.usual(node.body)
        return 0

    def usual_count(self, node: Repeat) -> int:
        """The default number of copies of the body, if the number is free."""
        if isinstance(node.body, Chars):
            return min(max(node.least, self.readable(node.body).usual), node.most)
        return min(node.least, 1) if self.usual(node.body) == 0 else node.least

    def allows(self, node: Node, length: int) -> bool:
        """Whether `node` has a text of this length."""
        return bool(self._set(node) >> length & 1)

    def between(self, node: Node, *, least: int, most: int) -> Iterator[int]:
        """The possible lengths of `node` within the bounds, ascending."""
        most = min(most, self.bound)
        lengths = (self._set(node) & ((2 << most) - 1)) >> least if most >= least else 0
        while lengths:
            lowest = (lengths & -lengths).bit_length() - 1
            yield least + lowest
            lengths ^= 1 << lowest

    def shares(self, node: Concat, length: int) -> list[int]:
        """A length for each item of `node`, with the sum `length`."""
        remainders = [1]
        for item in reversed(node.items[1:]):
            remainders.append(self._sum(remainders[-1], self._set(item)))
        sizes = []
        for item in node.items:
            sizes.append(self._share(self._set(item), remainders.pop(), length=length, usual=self.usual(item)))
            length -= sizes[-1]
        return sizes

    def copies(self, node: Repeat, length: int) -> list[int]:
        """A length for each copy of the body, with the sum `length`."""
        body, least, most = self._body(node)
        if body & (body - 1) == 0:  # all copies have the same length
            size = body.bit_length() - 1
            return [size] * (length // size) if size > 0 else []
        usual = self.usual(node.body)
        sizes = []
        while length:
            least, most = max(0, least - 1), most - (most < UNBOUNDED)
            sizes.append(self._share(body, self._copies(body, least, most=most), length=length, usual=usual))
            length -= sizes[-1]
        return sizes

    def _set(self, node: Node) -> int:
        known = self._sets.get(id(node))
        if known is None:
            self._budget.spend(1, "pattern")
            known = self._sets[id(node)] = self._set_of(node)
        return known

    def _set_of(self, node: Node) -> int:
        lengths = 1
        if isinstance(node, Chars):
            return 2
        if isinstance(node, Concat):
            for item in node.items:
                lengths = self._sum(lengths, self._set(item))
            return lengths
        if isinstance(node, Alternation):
            lengths = 0
            for option in node.options:
                lengths |= self._set(option)
            return lengths
        if isinstance(node, Repeat):
            body, least, most = self._body(node)
            return self._copies(body, least, most=most)
        if isinstance(node, Assertion):
            return lengths
        assert_never(node)

    def _body(self, node: Repeat) -> tuple[int, int, int]:
        """The lengths of one copy of the body, and the least and largest number of copies.

        If the body may be empty, empty copies are not counted.
        """
        lengths = self._set(node.body)
        return (lengths & ~1, 0, node.most) if lengths & 1 else (lengths, node.least, node.most)

    def _copies(self, body: int, least: int, *, most: int) -> int:
        key = (body, least, most)
        known = self._repeated.get(key)
        if known is None:
            more = UNBOUNDED if most >= UNBOUNDED else most - least
            known = self._repeated[key] = (
                self._multiples(body.bit_length() - 1, least, more=more)
                if body.bit_count() == 1
                else self._sum(self._power(body, least), self._power(body | 1, more))
            )
        return known

    def _multiples(self, size: int, least: int, *, more: int) -> int:
        """The lengths of `least` to `least + more` copies of one size."""
        if size * least > self.bound:
            return 0
        more = min(more, self.bound // size)
        lengths, copies = 1, 1
        while copies <= more:
            added = min(copies, more + 1 - copies)
            lengths |= lengths << added * size
            copies += added
        return lengths << size * least & self._all

    def _power(self, lengths: int, exponent: int) -> int:
        """The lengths of `exponent` copies, by repeated squaring."""
        result = 1
        while exponent and result:
            if exponent & 1:
                result = self._sum(result, lengths)
            exponent >>= 1
            squared = self._sum(lengths, lengths) if exponent else lengths
            if squared == lengths:  # fixed point: more copies add no length
                exponent = min(exponent, 1)
            lengths = squared
        return result

    def _sum(self, one: int, other: int) -> int:
        """All sums of a length of `one` and a length of `other`: one shift for each run of set bits."""
        if one.bit_count() > other.bit_count():
            one, other = other, one
        total = start = 0
        while one:
            zeros = (one & -one).bit_length() - 1
            one >>= zeros
            start += zeros
            run = (~one & (one + 1)).bit_length() - 1
            shifted, copies = other << start, 1
            while copies < run:
                more = min(copies, run - copies)
                shifted |= shifted << more
                copies += more
            total |= shifted
            one >>= run
            start += run
            self._budget.spend(1 + run.bit_length(), "pattern")
        return total & self._all

    def _share(self, lengths: int, remainder: int, *, length: int, usual: int) -> int:
        """The length n in `lengths` for which `length` - n is in `remainder`: `usual` if possible, else the least."""
        if usual <= length and lengths >> usual & 1 and remainder >> (length - usual) & 1:
            return usual
        self._budget.spend(4 + length // 64, "pattern")
        reversed_bits = int(f"{remainder & ((2 << length) - 1):0{length + 1}b}"[::-1], 2)  # bit n: has `length` - n
        shares = lengths & reversed_bits
        return (shares & -shares).bit_length() - 1
