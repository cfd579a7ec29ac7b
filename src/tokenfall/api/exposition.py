"""Metric families and their encoding in the Prometheus text format. Pure.

Called by the metrics routes. It does not use `prometheus_client`, because that imports an HTTP server and TLS.

Source: the Prometheus text format 0.0.4 ("Exposition formats": text format details).
"""

from __future__ import annotations

from itertools import chain

from tokenfall.metrics.registry import EXPORTED_BOUNDS_S, STEPS, Histogram

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Labels = Mapping[str, str]
    Sample = tuple[str, Labels, float]
    """Name, labels and value."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_LABELS: Labels = {}


class Family:
    """All samples of one metric. `kind` is `counter`, `gauge` or `histogram`; counter names end in `_total`."""

    __slots__ = ("help", "kind", "name", "samples")

    def __init__(self, kind: str, name: str, *, help: str, samples: Iterable[Sample]) -> None:  # noqa: A002 - the format's term
        self.kind = kind
        self.name = name
        self.help = help
        self.samples = samples


def gauge(name: str, text: str, *, value: float, labels: Labels = NO_LABELS) -> Family:
    """A gauge with one sample."""
    return Family("gauge", name, help=text, samples=((name, labels, value),))


def counter(name: str, text: str, *, value: float, labels: Labels = NO_LABELS) -> Family:
    """A counter with one sample."""
    return Family("counter", name, help=text, samples=((name, labels, value),))


def counters(name: str, text: str, *, counts: Iterable[tuple[Labels, float]]) -> Family:
    """A counter with one sample per set of labels."""
    return Family("counter", name, help=text, samples=[(name, labels, count) for labels, count in counts])


def histogram(name: str, text: str, *, counted: Histogram, labels: Labels = NO_LABELS) -> Family:
    """A latency histogram, reduced from the finer internal buckets to `EXPORTED_BOUNDS_S`."""
    return histograms(name, text, counted=[(labels, counted)])


def histograms(name: str, text: str, *, counted: Iterable[tuple[Labels, Histogram]]) -> Family:
    """A latency histogram for each set of labels."""
    buckets = (_buckets(name, each, labels=labels) for labels, each in counted)
    return Family("histogram", name, help=text, samples=chain.from_iterable(buckets))


def _buckets(name: str, counted: Histogram, *, labels: Labels) -> Iterator[Sample]:
    cumulative = counted.cumulative()
    bounds = [*map(str, EXPORTED_BOUNDS_S), "+Inf"]
    for bound, count in zip(bounds, (*cumulative[:-1:STEPS], cumulative[-1]), strict=True):
        yield f"{name}_bucket", {**labels, "le": bound}, count
    yield f"{name}_count", labels, cumulative[-1]
    yield f"{name}_sum", labels, counted.total


def exposition(families: Iterable[Family]) -> bytes:
    """The response body for these families, in their order."""
    return "".join(map(_text, families)).encode()


def _text(family: Family) -> str:
    lines = [
        f"# HELP {family.name} {_escaped(family.help)}\n",
        f"# TYPE {family.name} {family.kind}\n",
        *(f"{name}{_labels(labels)} {float(value)!r}\n" for name, labels, value in family.samples),
    ]
    return "".join(lines)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    quoted = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items())
    return "{" + quoted + "}"


def _escaped(text: str, *, quotes: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped
