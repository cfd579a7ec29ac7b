"""`/chat` in front of an upstream: processor time per token, memory per stream."""

from collections.abc import Callable

from benchmarks import relays
from benchmarks.bench import Bench, Launch, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample

COST = Row(
    "relay_cpu",
    "chat relay: processor time per token, 500 streams, a token every 20 ms",
    "µs",
    target=Goal(0.75, against="gorelay"),
    beyond=Goal(0.65, against="gorelay"),
)
MEMORY = Row(
    "relay_memory",
    "chat relay: memory per stream, 500 streams, a token every 20 ms",
    "KiB",
    target=Goal(0.1, against="gorelay"),
    beyond=Goal(1 / 16, against="gorelay"),
)


def _read(bench: Bench, launch: Callable[[Bench, str], Launch]) -> Sample:
    with relays.relay(bench, launch) as server:
        read = relays.relayed(bench, 500).read_all(bench, server)
    return Sample({COST.name: read["cpu_us_per_token"], MEMORY.name: read["kib_per_stream"]}, read)


def _tokenfall(bench: Bench) -> Sample:
    return _read(bench, relays.tokenfall)


def _gorelay(bench: Bench) -> Sample:
    return _read(bench, relays.gorelay)


MEASUREMENT = Measurement((COST, MEMORY), {OURS: _tokenfall, "gorelay": _gorelay})
