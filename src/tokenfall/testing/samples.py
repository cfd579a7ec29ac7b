"""Parser of `/metrics`: the subset of the Prometheus text format 0.0.4 that Tokenfall writes. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class Sample(NamedTuple):
    """Identifies one line: the name, and the labels as text. `counts`: it is a counter, not a gauge."""

    name: str
    labels: str
    counts: bool


def samples(text: str) -> dict[Sample, float]:
    """All samples of a metrics page."""
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
    """The sum of all samples with this name and these labels; of counters, only the increase over `since`.

    Raises KeyError if no sample has the name.
    """
    if not any(sample.name == name for sample in found):
        raise KeyError(f"no metric is named {name}; there are {', '.join(sorted({each.name for each in found}))}")
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        value - (since.get(sample, 0.0) if sample.counts else 0.0)
        for sample, value in found.items()
        if sample.name == name and all(each in sample.labels.split(",") for each in wanted)
    )
