"""Rows of the report, and how their sides are measured: alternating, in pairs, by medians.

Must not start processes or read clocks: a side is any function that returns a `Sample`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

OURS = "tokenfall"


class NotMeasured(Exception):
    """A row cannot be measured. The reason is part of the report, so it must not contain local paths."""


@dataclass(frozen=True)
class Goal:
    """A bound for Tokenfall's median, or for its ratio or difference to the median of the side `against`."""

    limit: float
    against: str | None = None
    by: Literal["ratio", "difference"] = "ratio"
    at_least: bool = False

    def figure(self, medians: Mapping[str, float]) -> float:
        ours = medians[OURS]
        if self.against is None:
            return ours
        other = medians[self.against]
        if self.by == "difference":
            return ours - other
        return ours / other if other else float("inf")

    def met(self, medians: Mapping[str, float]) -> bool:
        figure = self.figure(medians)
        return figure >= self.limit if self.at_least else figure <= self.limit

    def text(self, unit: str) -> str:
        bound = f"{'at least' if self.at_least else 'at most'} {self.limit:,g}"
        if self.against is None:
            return f"{bound} {unit}"
        return f"{bound} of {self.against}" if self.by == "ratio" else f"{bound} {unit} over {self.against}"


@dataclass(frozen=True)
class Row:
    """One line of the report. `--rows` selects it by `name`; a row without `target` has no bound."""

    name: str
    what: str
    unit: str
    target: Goal | None = None
    beyond: Goal | None = None


@dataclass(frozen=True)
class Sample:
    """One measurement of one side: a figure for each row, and all raw values.

    If a figure is missing, its row counts as not measured.
    """

    figures: Mapping[str, float]
    raw: Mapping[str, Any] = field(default_factory=dict)


def take_pairs(
    sides: Mapping[str, Callable[[], Sample]], *, pairs: int, after_each: Callable[[], None]
) -> list[dict[str, Sample]]:
    """Run every side `pairs` times, in alternating order, so that drift favours none. Raises `NotMeasured`."""
    taken = []
    for number in range(pairs):
        samples = {}
        for side in reversed(list(sides)) if number % 2 else sides:
            samples[side] = sides[side]()
            after_each()
        taken.append({side: samples[side] for side in sides})
    return taken


def outcome_of(row: Row, pairs: list[dict[str, Sample]]) -> dict[str, Any]:
    """The row in the format of a result file."""
    sides = list(pairs[0])
    missing = {side for pair in pairs for side in sides if row.name not in pair[side].figures}
    if missing:
        return without_outcome(row, f"{' and '.join(sorted(missing))} had no figure in one of the runs")
    figures = [{side: pair[side].figures[row.name] for side in sides} for pair in pairs]
    medians = {side: median(pair[side] for pair in figures) for side in sides}
    others = (side for side in sides if side != OURS)
    return {
        **_heading(row),
        "pairs": figures,
        "medians": medians,
        "ratios": {side: medians[OURS] / medians[side] for side in others if medians[side]},
        "delivered": _delivered(pairs),
        "target": _judged(row.target, row.unit, medians=medians),
        "beyond": _judged(row.beyond, row.unit, medians=medians),
        "raw": [{side: dict(pair[side].raw) for side in sides} for pair in pairs],
    }


def without_outcome(row: Row, reason: str) -> dict[str, Any]:
    return {**_heading(row), "not_measured": reason}


def _heading(row: Row) -> dict[str, Any]:
    return {"row": row.name, "what": row.what, "unit": row.unit}


def _delivered(pairs: list[dict[str, Sample]]) -> dict[str, float]:
    """By side: the lowest share of its tokens that were sent in time in any run, if measured."""
    shares: dict[str, float] = {}
    for pair in pairs:
        for side, sample in pair.items():
            if "delivered" in sample.raw:
                shares[side] = min(shares.get(side, 1.0), sample.raw["delivered"])
    return shares


def _judged(goal: Goal | None, unit: str, *, medians: Mapping[str, float]) -> dict[str, Any] | None:
    if goal is None:
        return None
    return {"goal": goal.text(unit), "figure": goal.figure(medians), "met": goal.met(medians)}
