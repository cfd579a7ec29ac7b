"""The simulator's grammar in query, header, model name and settings: tokens sent and their timing."""

import asyncio
import time

import pytest

from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.conftest import Serve
from tests.end_to_end.test_framing import STREAMS, frames


async def duration_s(port: int, data: bytes) -> float:
    """Return the time from the first byte sent to the last byte received."""
    begun = time.monotonic()
    assert (await fetch(port, data)).status == 200
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("grammar", "least_s"),
    [
        ("gap=50ms&tokens=4", 0.2),  # gaps of four tokens; the end follows the last at once
        ("tps=20&tokens=4", 0.2),
        ("ttft=300ms&gap=0ms&tokens=2", 0.3),
        ("ttft=100ms&gap=50ms&tokens=4", 0.25),
    ],
)
async def test_configured_times_are_met_and_never_early(port: int, grammar: str, least_s: float) -> None:
    assert least_s <= await duration_s(port, request(f"/stream-sse?{grammar}")) < least_s + 1


async def test_api_data_waits_for_its_time_to_first_token(port: int) -> None:
    assert await duration_s(port, request("/api/data?ttft=2s")) >= 2.0
    assert await duration_s(port, request("/api/data", X_Sim="ttft=200ms")) >= 0.2
    assert await duration_s(port, request("/api/data")) < 1.0


@pytest.mark.parametrize("path", STREAMS)
async def test_tokens_bound_every_stream(port: int, path: str) -> None:
    response = await fetch(port, request(f"{path}?gap=0ms&tokens=7"))
    assert response.body == b"".join(frames(path, 7))


async def test_seed_determines_token_count_and_timing(port: int) -> None:
    async def sizes(seed: int) -> list[int]:
        data = request(f"/stream-ndjson?gap=0ms&tokens=5..500&seed={seed}")
        return [len((await fetch(port, data)).body) for _ in range(2)]

    several = await asyncio.gather(*(sizes(seed) for seed in range(6)))
    assert all(one == other for one, other in several)
    assert len({one for one, _ in several}) > 1


async def test_more_specific_source_of_a_key_applies(serve: Serve) -> None:
    server = serve(SIM="gap=1ms,tokens=2")
    port = server.port
    body = b'{"messages":[{"role":"user","content":"x"}]%b}'

    def chat(rest: bytes, **headers: str) -> bytes:
        return request("/chat", method="POST", body=body % rest, **headers)

    async def tokens(data: bytes) -> int:
        return (await fetch(port, data)).body.count(b'"content":"') - data.startswith(b"GET")

    assert await tokens(request("/stream-sse")) == 2
    assert await tokens(request("/stream-sse", X_Sim="tokens=3")) == 3
    assert await tokens(request("/stream-sse?tokens=4", X_Sim="tokens=3")) == 4
    assert await tokens(chat(b"")) == 2
    assert await tokens(chat(b',"model":"sim:tokens=5"')) == 5
    assert await tokens(chat(b',"model":"sim:tokens=5"', X_Sim="tokens=6")) == 6


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("gap=20", "gap"),
        ("gap=-1ms", "gap"),
        ("tps=0", "tps"),
        ("ttft=1e3ms", "ttft"),
        ("tokens=9..3", "tokens"),
        ("tokens=1000001", "tokens"),
        ("seed=x", "seed"),
        ("spede=3", "spede"),
        ("gap=1ms,tps=5", "tps"),
    ],
)
async def test_invalid_grammar_is_400_and_names_the_key(port: int, text: str, key: str) -> None:
    async with await Client.connect(port) as client:
        for path in (*STREAMS, "/api/data"):
            by_query = await client.fetch(request(f"{path}?{text.replace(',', '&')}"))
            by_header = await client.fetch(request(path, X_Sim=text))
            assert by_query.status == by_header.status == 400
            assert key in by_query.body.decode()
            assert key in by_header.body.decode()
        body = b'{"messages":[{"role":"user","content":"x"}],"model":"sim:%b"}' % text.encode()
        by_model = await client.fetch(request("/chat", method="POST", body=body))
        assert by_model.status == 400
        assert key in by_model.body.decode()
        assert by_model.headers["content-type"] == "application/problem+json"
