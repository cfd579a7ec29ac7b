"""Passthrough of `/v1/chat/completions`: processor time per token, compared with gorelay's chat."""

from benchmarks import relays
from benchmarks.bench import Bench, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample

COST = Row(
    "passthrough_cpu",
    "passthrough relay: processor time per token, 500 streams, a token every 20 ms",
    "µs",
    target=Goal(0.65, against="gorelay"),
    beyond=Goal(0.55, against="gorelay"),
)


def _tokenfall(bench: Bench) -> Sample:
    with relays.relay(bench, relays.tokenfall) as server:
        read = relays.relayed(bench, 500, path=relays.COMPLETIONS, body=relays.ASKED).read_all(bench, server)
    return Sample({COST.name: read["cpu_us_per_token"]}, read)


def _gorelay(bench: Bench) -> Sample:
    with relays.relay(bench, relays.gorelay) as server:
        read = relays.relayed(bench, 500).read_all(bench, server)
    return Sample({COST.name: read["cpu_us_per_token"]}, read)


MEASUREMENT = Measurement((COST,), {OURS: _tokenfall, "gorelay": _gorelay})
