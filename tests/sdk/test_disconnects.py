"""Closing a client's stream early ends the stream of the server and of its upstream."""

from typing import Any

import pytest

from tests.end_to_end.client import metric, metric_becomes
from tests.end_to_end.conftest import Serve
from tests.sdk.clients import anthropic_client, async_client, groq_client, ollama_client, openai_client
from tests.sdk.prompts import MESSAGES, MODEL, QUESTION
from tests.sdk.text_streams import (
    ReadTexts,
    anthropic_messages,
    ollama_chat,
    ollama_generate,
    openai_chat,
    openai_responses,
)

ENDLESS = "gap=5ms,tokens=1000000"
STREAMS = "tokenfall_streams_in_flight"
DISCONNECTED = 'tokenfall_streams_ended_total{outcome="left"}'


@pytest.fixture(params=[False, True], ids=["simulated", "relayed"])
def ports(request: pytest.FixtureRequest, serve: Serve) -> list[int]:
    """Return the ports of servers with endless streams; requests go to the last."""
    simulating = serve(SIM=ENDLESS).port
    if not request.param:
        return [simulating]
    return [simulating, serve(UPSTREAM_URL=f"http://127.0.0.1:{simulating}/v1", UPSTREAM_WARM="0").port]


async def _check_streams(ports: list[int], streams: int) -> None:
    for port in ports:
        assert await metric(port, STREAMS) == streams


async def _wait_disconnected(ports: list[int], *, count: int) -> None:
    """Return once no stream runs and `count` streams have ended by disconnect."""
    for port in ports:
        await metric_becomes(port, STREAMS, 0)
        await metric_becomes(port, DISCONNECTED, count)


async def test_async_client_disconnect_ends_the_stream(ports: list[int]) -> None:
    cases: list[tuple[str, ReadTexts]] = [
        ("openai", openai_chat),
        ("openai", openai_responses),
        ("groq", openai_chat),
        ("anthropic", anthropic_messages),
        ("ollama", ollama_chat),
        ("ollama", ollama_generate),
    ]
    for number, (name, read_texts) in enumerate(cases, start=1):
        async with async_client(name, ports[-1]) as client:
            stream: Any = read_texts(client)
            for _ in range(3):
                assert await anext(stream)
            await _check_streams(ports, 1)
            await stream.aclose()
            await _wait_disconnected(ports, count=number)
    if len(ports) > 1:
        await metric_becomes(ports[0], "tokenfall_connections", 1)


async def test_sync_client_disconnect_ends_the_stream(ports: list[int]) -> None:
    port = ports[-1]
    fields: Any = {"model": MODEL, "messages": MESSAGES, "stream": True}
    with openai_client(port) as openai, groq_client(port) as groq, anthropic_client(port) as anthropic:
        streams: list[Any] = [
            openai.chat.completions.create(**fields),
            openai.responses.create(model=MODEL, input=QUESTION, stream=True),
            groq.chat.completions.create(**fields),
            anthropic.messages.create(**fields, max_tokens=1_000_000),
        ]
        with ollama_client(port) as ollama:
            streams.append(ollama.chat(**fields))
            for stream in streams:
                for _ in range(6):
                    assert next(stream)
            await _check_streams(ports, len(streams))
            for stream in streams:
                stream.close()
            await _wait_disconnected(ports, count=len(streams))
