"""The maximum number of endless streams in a container with 0.1 CPU and 20 MB, with a cold page cache."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from benchmarks import containers, images
from benchmarks.bench import OUR_SETTINGS, Bench, Measurement, Server
from benchmarks.measurement import OURS, Goal, Row, Sample
from benchmarks.processes import DidNotListen, free_port, wait_until_listening
from benchmarks.streams import Streams

GAP_MS = 200
COUNTS = (50, 100, 250, 400, 500, 750, 1_000, 1_500, 2_000, 2_500, 3_000, 3_300, 3_500, 4_000)
DELIVERED = 0.99
STARTS_WITHIN_S = 30.0
OPEN_WITHIN_S = 20.0
MIB = 1024**2

Command = Callable[[int], Sequence[str]]
"""A function from the port to the command in place of the image's; empty for the image's own."""

STREAMS = Row(
    "box",
    "endless streams in a container of 0.1 CPU and 20 MB, cold page cache, a token every 200 ms",
    "streams",
    target=Goal(2_500, at_least=True),
    beyond=Goal(3_300, at_least=True),
)
PEAK = Row("box_peak", "peak memory of the container with that number of streams", "MiB")
LATE = Row("box_late", "lateness of a token, p99, with that number of streams", "ms")


def _try(bench: Bench, image: str, *, count: int, env: Mapping[str, str], command: Command) -> dict[str, Any]:
    """One container with `count` streams: whether it served them, and its memory."""
    found: dict[str, Any] = {"streams": count, "delivered": 0.0, "killed": True}
    port = free_port()
    streams = Streams(count, bench.seconds(10), warmup=bench.seconds(10), gap_ms=GAP_MS, open_within_s=OPEN_WITHIN_S)
    name = image.rpartition("/")[2]
    settings = {**env, "HOST": "127.0.0.1", "PORT": str(port)}
    with (
        suppress(DidNotListen),
        containers.running(name, image, core=bench.server_core, env=settings, command=command(port)) as container,
    ):
        wait_until_listening(container, port, within_s=STARTS_WITHIN_S)
        read = streams.read(bench, Server(container, port))
        found |= {"delivered": read["delivered"], "late_ms": read["late_ms"], **container.charged()}
        found["killed"] = container.ends_within(0)
    return {**found, "served": found["delivered"] >= DELIVERED and not found["killed"]}


def most_served(counts: Sequence[int], serves: Callable[[int], bool]) -> int:
    """The greatest of the ascending `counts` for which `serves` is true, 0 if none; found by bisection."""
    served, too_many = 0, len(counts)  # `counts[:served]` are served, `counts[too_many:]` are not
    while served < too_many:
        middle = (served + too_many) // 2
        if serves(counts[middle]):
            served = middle + 1
        else:
            too_many = middle
    return counts[served - 1] if served else 0


def _search(bench: Bench, image: str, *, env: Mapping[str, str], command: Command = lambda _: ()) -> Sample:
    tries: list[dict[str, Any]] = []

    def serves(count: int) -> bool:
        tries.append(_try(bench, image, count=count, env=env, command=command))
        return bool(tries[-1]["served"])

    most = most_served(COUNTS, serves)
    figures = {STREAMS.name: float(most)}
    for best in (one for one in tries if one["streams"] == most):
        figures[LATE.name] = best["late_ms"]["p99"]
        if "peak_bytes" in best:
            figures[PEAK.name] = best["peak_bytes"] / MIB
    return Sample(figures, {"tries": tries})


def _tokenfall(bench: Bench) -> Sample:
    containers.need_containers()
    return _search(bench, images.tokenfall_image(bench.image), env=OUR_SETTINGS)


def _gosim(bench: Bench) -> Sample:
    containers.need_containers()
    return _search(bench, images.program_image("gosim", bench.tools.program("gosim")), env={})


def _floor(bench: Bench) -> Sample:
    """The maximum of this machine: a C program that only sends."""
    containers.need_containers()
    image = images.program_image("floor", bench.tools.program("floor"))
    return _search(bench, image, env={}, command=lambda port: ("/floor", str(port), str(GAP_MS)))


MEASUREMENT = Measurement((STREAMS, PEAK, LATE), {OURS: _tokenfall, "gosim": _gosim, "floor": _floor})
