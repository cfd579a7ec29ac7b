"""Each fault of the grammar as the clients see it: what arrives before, and whether they take the rest for an end."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import Serve
from tests.sdk.clients import anthropic_client, ollama_client, openai_client
from tests.sdk.questions import ASK

Heard = Iterator[tuple[str, bool]]
"""Each piece of text, and whether it is the end of the response."""


def _openai(port: int, model: str) -> Heard:
    with openai_client(port) as client:
        for chunk in client.chat.completions.create(model=model, messages=ASK, stream=True):
            choice = chunk.choices[0]
            yield choice.delta.content or "", choice.finish_reason is not None


def _anthropic(port: int, model: str) -> Heard:
    with anthropic_client(port) as client:
        for event in client.messages.create(model=model, messages=ASK, stream=True, max_tokens=100):
            text = event.delta.text if event.type == "content_block_delta" else ""
            yield text, event.type == "message_stop"


def _ollama(port: int, model: str) -> Heard:
    with ollama_client(port) as client:
        for part in client.chat(model=model, messages=ASK, stream=True):
            yield part.message.content or "", bool(part.done)


CLIENTS: dict[str, Callable[[int, str], Heard]] = {"openai": _openai, "anthropic": _anthropic, "ollama": _ollama}

WHOLE, RAISED, OPEN = "whole", "raised", "left open"
FAULTS = [
    ("stall@2:20ms", 6, WHOLE),
    ("drip@2:5ms", 6, WHOLE),
    ("split@2", 6, WHOLE),
    ("reset@2", 2, RAISED),
    ("close@2", 2, RAISED),
    ("garbage@2", 2, RAISED),
    ("error@2", 2, RAISED),
    ("nodone@0", 6, OPEN),
]
"""The fault, how many tokens arrive, and how the stream ends for its reader."""


def _listened(received: Heard) -> tuple[list[str], str, Exception | None]:
    texts: list[str] = []
    ended = False
    try:
        for text, end in received:
            texts += [text] if text else []
            ended = ended or end
    except Exception as error:  # noqa: BLE001 - each client raises its own, or its transport's
        return texts, RAISED, error
    return texts, WHOLE if ended else OPEN, None


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("fault", "tokens", "outcome"), FAULTS, ids=[each[0] for each in FAULTS])
def test_a_fault_is_seen_as_the_real_thing(serve: Serve, client: str, fault: str, tokens: int, outcome: str) -> None:
    server = serve()
    received = CLIENTS[client](server.port, f"sim:tokens=6,gap=1ms,fault={fault}")
    texts, seen, error = _listened(received)

    assert seen == outcome, repr(error)
    assert len(texts) == tokens
    assert ("é" in texts[2]) if fault == "split@2" else "é" not in "".join(texts)


@pytest.mark.parametrize("client", CLIENTS)
def test_an_error_inside_a_stream_is_the_clients_own_exception(serve: Serve, client: str) -> None:
    server = serve()
    _, _, error = _listened(CLIENTS[client](server.port, "sim:tokens=6,gap=1ms,fault=error@2"))
    kind: Any = type(error)

    assert kind.__module__.partition(".")[0] == client
    assert "failed" in str(error)
