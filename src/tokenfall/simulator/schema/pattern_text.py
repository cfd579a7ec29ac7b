"""Generates texts that match a JSON schema's `pattern`, from its tree. Pure.

The default text is tried first. If the schema's bounds exclude it, the possible lengths of the tree are computed, and
one is distributed among its nodes. There is no trial and error, so the work grows with pattern and length, and is spent
from the budget. Anchors and word boundaries are ignored while generating and verified afterwards.
"""

from collections.abc import Iterator
from itertools import islice
from typing import assert_never

from tokenfall.simulator.schema.budget import Budget, unsatisfiable
from tokenfall.simulator.schema.pattern_chars import Chars
from tokenfall.simulator.schema.pattern_lengths import Lengths
from tokenfall.simulator.schema.pattern_match import matches
from tokenfall.simulator.schema.patterns import Alternation, Assertion, Concat, Node, Repeat, parse_pattern

MAX_LENGTH = 2_000
TRIES = 4

_FILLER = " tokens fall one after another"


class Pattern:
    """A parsed pattern. Raises `Unsatisfiable` if it is invalid or not supported."""

    def __init__(self, pattern: str, budget: Budget) -> None:
        self._shown = repr(pattern[:80])
        self._budget = budget
        self._tree = parse_pattern(pattern, budget)
        self._lengths = Lengths(budget, bound=64)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches anywhere in `text`."""
        return matches(self._tree, text, budget=self._budget)

    def text(self, *, least: int, most: int, variant: int) -> str:
        """A text of `least` to `most` characters. Different variants give different texts, if the pattern allows it."""
        if least > MAX_LENGTH:
            raise unsatisfiable(f"`minLength` with a `pattern` must be at most {MAX_LENGTH}")
        most = min(most, MAX_LENGTH)
        for text in self._candidates(least, most, variant=variant):
            if self.matches(text):
                return text
        raise unsatisfiable(f"`pattern` {self._shown}: no text of {least} to {most} characters found")

    def _candidates(self, least: int, most: int, *, variant: int) -> Iterator[str]:
        """Texts that match except perhaps for anchors: first some variants, then the shortest ones."""
        for attempt in range(TRIES):
            text = self._sized(least, most, variant=variant + attempt)
            if text is not None:
                yield text
        for length in islice(self._lengths.between(self._tree, least=least, most=most), TRIES):
            yield self._generated(length, variant)[0]

    def _sized(self, least: int, most: int, *, variant: int) -> str | None:
        """A text for the tree within the bounds, not verified yet; None if there is none."""
        usual = self._lengths.usual(self._tree)
        self._widen(max(least, usual) + variant)
        left: int | None = variant
        if least <= usual <= most:
            free = variant == 0 or (least == 0 and most == MAX_LENGTH)
            text, left = self._generated(None if free else usual, variant)
            if left is None and least <= len(text) <= most:
                return text
        for length in self._lengths.between(self._tree, least=least, most=most):
            if length != usual:
                text, left = self._generated(length, variant if left is None else left)
                if left is None:
                    return text
        return self._extended(least, most, variant=variant) if usual <= most else None

    def _widen(self, length: int) -> None:
        """Raise the bound of the length sets if `length` is near it. Small bounds take fewer steps."""
        if self._lengths.bound < length + 32 and self._lengths.bound < MAX_LENGTH:
            self._lengths = Lengths(self._budget, bound=min(2 * length + 64, MAX_LENGTH))

    def _extended(self, least: int, most: int, *, variant: int) -> str | None:
        """A text with filler after or before the match, for a pattern that is not anchored there."""
        text, left = self._generated(None, variant)
        label = "" if left is None else f" {variant}"
        more = (label + _FILLER * (1 + least // len(_FILLER)))[: max(len(label), least - len(text))]
        if not least <= len(text) + len(more) <= most:
            return None
        return text + more if self.matches(text + more) else f"{more[1:]} {text}"

    def _generated(self, length: int | None, variant: int) -> tuple[str, int | None]:
        """A text of exactly `length` (None: default length), and None if it is of this `variant`.

        Otherwise the length has too few texts; the second item is the variant to use with the next length.
        """
        self._budget.spend(4, "pattern")
        writer = _Writer(self._lengths, self._budget, variant=variant)
        writer.write(self._tree, length)
        return "".join(writer.out), variant - writer.texts if writer.variant else None


class _Writer:
    """Generates one text. Each choice consumes a digit of `variant`; `texts` is the number of texts of all choices."""

    def __init__(self, lengths: Lengths, budget: Budget, *, variant: int) -> None:
        self.out: list[str] = []
        self.variant = variant
        self.texts = 1
        self._lengths = lengths
        self._budget = budget

    def write(self, node: Node, length: int | None) -> None:
        """Append a text of `node` with a possible `length` (None: default length) to `out`."""
        self._budget.spend(1, "pattern")
        if isinstance(node, Chars):
            self._write_chars(node, 1)
        elif isinstance(node, Concat):
            sizes = [None] * len(node.items) if length is None else self._lengths.shares(node, length)
            for item, size in zip(node.items, sizes, strict=True):
                self.write(item, size)
        elif isinstance(node, Alternation):
            self._budget.spend(len(node.options) // 2, "pattern")
            options = [each for each in node.options if length is None or self._lengths.allows(each, length)]
            self.write(options[self._digit(len(options))], length)
        elif isinstance(node, Repeat):
            self._write_copies(node, length)
        elif not isinstance(node, Assertion):
            assert_never(node)

    def _write_copies(self, node: Repeat, length: int | None) -> None:
        sizes = [None] * self._lengths.usual_count(node) if length is None else self._lengths.copies(node, length)
        if isinstance(node.body, Chars):
            self._write_chars(node.body, len(sizes))
            return
        for size in sizes:
            self.write(node.body, size)

    def _write_chars(self, chars: Chars, count: int) -> None:
        self._budget.spend(count // 2, "pattern")
        known = self._lengths.readable(chars)
        members, cycle = known.members, known.cycle
        for place in range(count):
            char = cycle[place % len(cycle)]
            digit = self._digit(len(members))
            self.out.append(members[(members.index(char) + digit) % len(members)] if digit else char)

    def _digit(self, options: int) -> int:
        if not self.variant:
            return 0
        self.variant, digit = divmod(self.variant, options)
        self.texts *= options
        return digit
