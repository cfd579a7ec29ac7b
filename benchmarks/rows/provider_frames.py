"""`/v1/chat/completions` as a stream, simulated, beside the same words on `/stream-sse`."""

from collections.abc import Callable

from benchmarks.bench import Bench, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample
from benchmarks.streams import Streams

GAP_MS = 20
STREAMS = 2000
TOKENS = 2000  # more than are read
SIM = f"gap={GAP_MS}ms,tokens={TOKENS}"
QUESTION = f'{{"model":"sim:{SIM}","stream":true,"messages":[{{"role":"user","content":"hi"}}]}}'

ROW = Row(
    "provider_cpu",
    "processor time a token of a simulated OpenAI chat, 2,000 streams, a token every 20 ms",
    "µs",
    target=Goal(1.3, against="stream-sse"),
    beyond=Goal(1.15, against="stream-sse"),
)


def _side(path: str, body: str | None) -> Callable[[Bench], Sample]:
    def take(bench: Bench) -> Sample:
        streams = Streams(STREAMS, bench.seconds(8), warmup=bench.seconds(4), gap_ms=GAP_MS, path=path, body=body)
        with bench.running(bench.tokenfall()) as server:
            read = streams.read_all(bench, server)
        return Sample({ROW.name: float(read["cpu_us_per_token"])}, read)

    return take


MEASUREMENT = Measurement(
    (ROW,),
    {
        OURS: _side("/v1/chat/completions", QUESTION),
        "stream-sse": _side(f"/stream-sse?gap={GAP_MS}ms&tokens={TOKENS}", None),
    },
)
