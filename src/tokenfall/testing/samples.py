"""The metrics page, read: the Prometheus text format 0.0.4 as far as Tokenfall writes it. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class Sample(NamedTuple):
    """One line: a name with its labels as they are written. `counts`: it never goes down."""

    name: str
    labels: str
    counts: bool


def samples(text: str) -> dict[Sample, float]:
    """All of them."""
    found: dict[Sample, float] = {}
    counts = False
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            counts = not line.endswith(" gauge")
        elif line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name, _, labels = series.partition("{")
            found[Sample(name, labels.removesuffix("}"), counts)] = float(value)
    return found


def summed(found: Mapping[Sample, float], name: str, *, since: Mapping[Sample, float], **labels: str) -> float:
    """All samples of a name that have these labels; of what counts, only what was added `since`.

    Raises KeyError for a name that no sample has.
    """
    if not any(sample.name == name for sample in found):
        raise KeyError(f"no metric is called {name}; there are {', '.join(sorted({each.name for each in found}))}")
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        value - (since.get(sample, 0.0) if sample.counts else 0.0)
        for sample, value in found.items()
        if sample.name == name and all(each in sample.labels.split(",") for each in wanted)
    )
