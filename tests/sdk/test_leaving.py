"""A client that closes its stream in the middle frees the server, and the provider behind it."""

from typing import Any

import pytest

from tests.end_to_end.client import metric, metric_becomes
from tests.end_to_end.conftest import Serve
from tests.sdk.clients import anthropic_client, async_client, groq_client, ollama_client, openai_client
from tests.sdk.listening import (
    Listen,
    anthropic_messages,
    ollama_chat,
    ollama_generate,
    openai_chat,
    openai_responses,
)
from tests.sdk.questions import ASK, MODEL, QUESTION

ENDLESS = "gap=5ms,tokens=1000000"
STREAMS = "tokenfall_streams_in_flight"
LEFT = 'tokenfall_streams_ended_total{outcome="left"}'


@pytest.fixture(params=[False, True], ids=["simulated", "relayed"])
def ports(request: pytest.FixtureRequest, serve: Serve) -> list[int]:
    """Of servers that would go on; the last is the one to ask."""
    simulating = serve(SIM=ENDLESS).port
    if not request.param:
        return [simulating]
    return [simulating, serve(UPSTREAM_URL=f"http://127.0.0.1:{simulating}/v1", UPSTREAM_WARM="0").port]


async def _under_way(ports: list[int], streams: int) -> None:
    for port in ports:
        assert await metric(port, STREAMS) == streams


async def _freed(ports: list[int], *, left: int) -> None:
    """All streams have ended as left, and of all connections to a provider only the one that asks is there."""
    for port in ports:
        await metric_becomes(port, STREAMS, 0)
        await metric_becomes(port, LEFT, left)


async def test_async_client_disconnect_ends_the_stream(ports: list[int]) -> None:
    listeners: list[tuple[str, Listen]] = [
        ("openai", openai_chat),
        ("openai", openai_responses),
        ("groq", openai_chat),
        ("anthropic", anthropic_messages),
        ("ollama", ollama_chat),
        ("ollama", ollama_generate),
    ]
    for number, (name, listen) in enumerate(listeners, start=1):
        async with async_client(name, ports[-1]) as client:
            stream: Any = listen(client)
            for _ in range(3):
                assert await anext(stream)
            await _under_way(ports, 1)
            await stream.aclose()
            await _freed(ports, left=number)
    if len(ports) > 1:
        await metric_becomes(ports[0], "tokenfall_connections", 1)


async def test_sync_client_disconnect_ends_the_stream(ports: list[int]) -> None:
    port = ports[-1]
    request: Any = {"model": MODEL, "messages": ASK, "stream": True}
    with openai_client(port) as openai, groq_client(port) as groq, anthropic_client(port) as anthropic:
        streams: list[Any] = [
            openai.chat.completions.create(**request),
            openai.responses.create(model=MODEL, input=QUESTION, stream=True),
            groq.chat.completions.create(**request),
            anthropic.messages.create(**request, max_tokens=1_000_000),
        ]
        with ollama_client(port) as ollama:
            streams.append(ollama.chat(**request))
            for stream in streams:
                for _ in range(6):
                    assert next(stream)
            await _under_way(ports, len(streams))
            for stream in streams:
                stream.close()
            await _freed(ports, left=len(streams))
