"""Simulated streams of `/v1/chat/completions` and `/chat`, compared with `/stream-sse` at the same rate."""

from collections.abc import Callable
from urllib.request import Request, urlopen

from benchmarks.bench import Bench, Measurement
from benchmarks.measurement import OURS, Goal, Row, Sample
from benchmarks.streams import Streams

GAP_MS = 20
STREAMS = 1_000
MORE_THAN_ARE_READ = 2_000
TOKENS = 600
QUESTION = '"messages":[{"role":"user","content":"hi"}]'

PROVIDER_COST = Row(
    "provider_cpu",
    "processor time per token of a simulated OpenAI chat, 1,000 streams, a token every 20 ms",
    "µs",
    target=Goal(1.15, against="stream-sse"),
    beyond=Goal(1.08, against="stream-sse"),
)
PROVIDER_MEMORY = Row(
    "provider_memory",
    "memory per stream of a simulated OpenAI chat, 1,000 streams of 600 tokens",
    "KiB",
    target=Goal(3),
    beyond=Goal(2),
)
CHAT_COST = Row(
    "chat_cpu",
    "processor time per token of /chat on the simulator, 1,000 streams, a token every 20 ms",
    "µs",
    target=Goal(1.8, against="stream-sse"),
    beyond=Goal(1.4, against="stream-sse"),
)


def _sim(tokens: int) -> str:
    return f"gap={GAP_MS}ms,tokens={tokens}"


def _completions(tokens: int) -> str:
    return f'{{"model":"sim:{_sim(tokens)}","stream":true,{QUESTION}}}'


def _side(row: Row, figure: str, *, path: str, body: str | None) -> Callable[[Bench], Sample]:
    def take(bench: Bench) -> Sample:
        seconds, warmup = bench.seconds(6), bench.seconds(4)
        streams = Streams(STREAMS, seconds, warmup=warmup, gap_ms=GAP_MS, path=path, body=body)
        launch = bench.tokenfall(SIM=_sim(MORE_THAN_ARE_READ), MAX_TOKENS=str(MORE_THAN_ARE_READ))
        with bench.running(launch) as server:
            _load_libraries(server.url, path, body=body)
            read = streams.read_all(bench, server)
        return Sample({row.name: float(read[figure])}, read)

    return take


def _load_libraries(url: str, path: str, *, body: str | None) -> None:
    """Run one short stream, so that the imports of the first request are not measured."""
    request = Request(f"{url}{path}", None if body is None else body.encode(), {"X-Sim": "gap=1us,tokens=1"})  # noqa: S310 - this machine
    with urlopen(request, timeout=30) as response:  # noqa: S310 - this machine
        response.read()


def _beside_stream_sse(row: Row, *, path: str, body: str) -> Measurement:
    cost = "cpu_us_per_token"
    sides = {
        OURS: _side(row, cost, path=path, body=body),
        "stream-sse": _side(row, cost, path="/stream-sse", body=None),
    }
    return Measurement((row,), sides)


COMPLETIONS = "/v1/chat/completions"
MEASUREMENTS = (
    _beside_stream_sse(PROVIDER_COST, path=COMPLETIONS, body=_completions(MORE_THAN_ARE_READ)),
    Measurement(
        (PROVIDER_MEMORY,),
        {OURS: _side(PROVIDER_MEMORY, "kib_per_stream", path=COMPLETIONS, body=_completions(TOKENS))},
    ),
    _beside_stream_sse(CHAT_COST, path="/chat", body=f"{{{QUESTION}}}"),
)
