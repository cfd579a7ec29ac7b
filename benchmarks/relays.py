"""The upstream (an endless response) and the relay (used once before the measurement) of the relay rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.bench import Bench, Launch, Server
from benchmarks.processes import free_port
from benchmarks.streams import Streams
from benchmarks.toolchain import BUILD

GAP_MS = 20
ASKED = '{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
QUESTION = '{"messages":[{"role":"user","content":"hi"}]}'
CHAT = "/chat"
COMPLETIONS = "/v1/chat/completions"


@contextmanager
def upstream(bench: Bench) -> Iterator[Server]:
    """`floor --openai`, on the core of the load generator, so that only the relay's work is measured."""
    with bench.running(bench.floor(GAP_MS, "--openai"), core=bench.load_core) as server:
        yield server


@contextmanager
def tls_upstream(bench: Bench) -> Iterator[tuple[Server, str]]:
    """`tlsfloor`, on the core of the load generator, and the file with the certificate to trust."""
    port, ca_file = free_port(), BUILD / "tlsfloor.pem"
    launch = Launch("tlsfloor", port, [bench.tools.program("tlsfloor"), str(port), str(GAP_MS), str(ca_file)], {})
    with bench.running(launch, core=bench.load_core) as server:
        yield server, str(ca_file)


@contextmanager
def tls_relay(bench: Bench, launch: Callable[..., Launch]) -> Iterator[Server]:
    """`relay` with an upstream behind TLS."""
    with tls_upstream(bench) as (behind, ca_file):
        url = f"https://127.0.0.1:{behind.port}/v1"
        with bench.running(launch(bench, url, SSL_CERT_FILE=ca_file)) as server:
            _warm(bench, server)
            yield server


def _warm(bench: Bench, server: Server) -> None:
    Streams(4, seconds=0.5, warmup=0, gap_ms=GAP_MS, path=CHAT, body=QUESTION).read_all(bench, server)


@contextmanager
def relay(bench: Bench, launch: Callable[[Bench, str], Launch]) -> Iterator[Server]:
    """A relay that has relayed one request, so that loading its upstream client is not measured."""
    with upstream(bench) as behind, bench.running(launch(bench, f"{behind.url}/v1")) as server:
        _warm(bench, server)
        yield server


def relayed(bench: Bench, count: int, *, path: str = CHAT, body: str = QUESTION) -> Streams:
    """`count` streams of a relay, a token every `GAP_MS`."""
    return Streams(count, seconds=bench.seconds(6), warmup=bench.seconds(3), gap_ms=GAP_MS, path=path, body=body)


def tokenfall(bench: Bench, upstream_url: str, **environment: str) -> Launch:
    return bench.tokenfall(UPSTREAM_URL=upstream_url, MODEL="m", **environment)


def gorelay(bench: Bench, upstream_url: str, **environment: str) -> Launch:
    return bench.go_peer("gorelay", UPSTREAM_URL=upstream_url, **environment)
