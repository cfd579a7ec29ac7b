"""Time to first token of `/chat` in front of an upstream, compared with direct requests to that upstream.

The upstream sends its first token at once. Streams are opened one after another and stay open, so a figure is the delay
of one request beside the traffic of the others, not the length of a queue of 50 requests.
"""

from statistics import median

from benchmarks import relays
from benchmarks.bench import Bench, Measurement, Server
from benchmarks.measurement import OURS, Goal, Row, Sample
from benchmarks.streams import Streams

ROW = Row(
    "first_byte",
    "first token of a relayed chat, p99 of 50 streams",
    "ms",
    target=Goal(0.7, against="upstream", by="difference"),
    beyond=Goal(0.4, against="upstream", by="difference"),
)
ROUNDS = 5


def _read(bench: Bench, server: Server, *, path: str) -> Sample:
    streams = Streams(
        50,
        seconds=0.1,
        warmup=0.1,
        gap_ms=relays.GAP_MS,
        path=path,
        body=relays.QUESTION,
        every_ms=relays.GAP_MS,
    )
    rounds = [streams.read_all(bench, server)["first_ms"] for _ in range(ROUNDS)]
    return Sample({ROW.name: median(one["p99"] for one in rounds)}, {"rounds": rounds})


def _tokenfall(bench: Bench) -> Sample:
    with relays.relay(bench, relays.tokenfall) as server:
        return _read(bench, server, path=relays.CHAT)


def _gorelay(bench: Bench) -> Sample:
    with relays.relay(bench, relays.gorelay) as server:
        return _read(bench, server, path=relays.CHAT)


def _upstream(bench: Bench) -> Sample:
    with relays.upstream(bench) as server:
        return _read(bench, server, path=relays.COMPLETIONS)


MEASUREMENT = Measurement((ROW,), {OURS: _tokenfall, "upstream": _upstream, "gorelay": _gorelay})
