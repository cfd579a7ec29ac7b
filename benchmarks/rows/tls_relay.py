"""`/chat` in front of an upstream behind TLS: processor time per token, memory per stream."""

from collections.abc import Callable

from benchmarks import relays
from benchmarks.bench import Bench, Launch, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample

COST = Row(
    "tls_relay_cpu",
    "chat relay, TLS upstream: processor time per token, 300 streams, a token every 20 ms",
    "µs",
    target=Goal(0.9, against="gorelay"),
    beyond=Goal(0.8, against="gorelay"),
)
MEMORY = Row(
    "tls_relay_memory",
    "chat relay, TLS upstream: memory per stream, 300 streams, a token every 20 ms",
    "KiB",
    target=Goal(0.4, against="gorelay"),
    beyond=Goal(0.33, against="gorelay"),
)


def _read(bench: Bench, launch: Callable[..., Launch]) -> Sample:
    with relays.tls_relay(bench, launch) as server:
        read = relays.relayed(bench, 300).read_all(bench, server)
    return Sample({COST.name: read["cpu_us_per_token"], MEMORY.name: read["kib_per_stream"]}, read)


def _tokenfall(bench: Bench) -> Sample:
    return _read(bench, relays.tokenfall)


def _gorelay(bench: Bench) -> Sample:
    return _read(bench, relays.gorelay)


MEASUREMENT = Measurement((COST, MEMORY), {OURS: _tokenfall, "gorelay": _gorelay})
