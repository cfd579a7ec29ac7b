"""What both chat rows need: an upstream that never finishes, and a relay in front of it that has run once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.bench import Bench, Launch, Server
from benchmarks.streams import Streams

GAP_MS = 20
QUESTION = '{"messages":[{"role":"user","content":"hi"}]}'
CHAT = "/chat"
COMPLETIONS = "/v1/chat/completions"


@contextmanager
def upstream(bench: Bench) -> Iterator[Server]:
    """`floor --openai`, on the core of the load: only the relay's own work is to be seen."""
    with bench.running(bench.floor(GAP_MS, "--openai"), core=bench.load_core) as server:
        yield server


@contextmanager
def relay(bench: Bench, launch: Callable[[Bench, str], Launch]) -> Iterator[Server]:
    """A relay whose upstream client has been loaded and used, so that no stream pays for that."""
    with upstream(bench) as behind, bench.running(launch(bench, f"{behind.url}/v1")) as server:
        first = Streams(4, seconds=0.5, warmup=0, gap_ms=GAP_MS, path=CHAT, body=QUESTION)
        first.read_all(bench, server)
        yield server


def tokenfall(bench: Bench, upstream_url: str) -> Launch:
    return bench.tokenfall(UPSTREAM_URL=upstream_url)


def gorelay(bench: Bench, upstream_url: str) -> Launch:
    return bench.go_peer("gorelay", UPSTREAM_URL=upstream_url)
