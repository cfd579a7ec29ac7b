"""Each simulated fault as seen by the clients: the tokens received, and whether the response counts as complete."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import Serve
from tests.sdk.clients import anthropic_client, ollama_client, openai_client
from tests.sdk.prompts import MESSAGES

TextStream = Iterator[tuple[str, bool]]
"""Texts, each with whether it ends the response."""


def _openai(port: int, model: str) -> TextStream:
    with openai_client(port) as client:
        for chunk in client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
            choice = chunk.choices[0]
            yield choice.delta.content or "", choice.finish_reason is not None


def _anthropic(port: int, model: str) -> TextStream:
    with anthropic_client(port) as client:
        for event in client.messages.create(model=model, messages=MESSAGES, stream=True, max_tokens=100):
            text = event.delta.text if event.type == "content_block_delta" else ""
            yield text, event.type == "message_stop"


def _ollama(port: int, model: str) -> TextStream:
    with ollama_client(port) as client:
        for part in client.chat(model=model, messages=MESSAGES, stream=True):
            yield part.message.content or "", bool(part.done)


CLIENTS: dict[str, Callable[[int, str], TextStream]] = {"openai": _openai, "anthropic": _anthropic, "ollama": _ollama}

COMPLETE, RAISED, UNFINISHED = "whole", "raised", "left open"
FAULTS = [
    ("stall@2:20ms", 6, COMPLETE),
    ("drip@2:5ms", 6, COMPLETE),
    ("split@2", 6, COMPLETE),
    ("reset@2", 2, RAISED),
    ("close@2", 2, RAISED),
    ("garbage@2", 2, RAISED),
    ("error@2", 2, RAISED),
    ("nodone@0", 6, UNFINISHED),
]
"""The fault, the number of tokens received, and how the stream ends for the client."""


def _read_all(stream: TextStream) -> tuple[list[str], str, Exception | None]:
    texts: list[str] = []
    ended = False
    try:
        for text, end in stream:
            texts += [text] if text else []
            ended = ended or end
    except Exception as error:  # noqa: BLE001 - exceptions of the client or of its transport
        return texts, RAISED, error
    return texts, COMPLETE if ended else UNFINISHED, None


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("fault", "tokens", "outcome"), FAULTS, ids=[each[0] for each in FAULTS])
def test_client_sees_a_fault_as_a_real_failure(
    serve: Serve, client: str, fault: str, tokens: int, outcome: str
) -> None:
    server = serve()
    stream = CLIENTS[client](server.port, f"sim:tokens=6,gap=1ms,fault={fault}")
    texts, seen, error = _read_all(stream)

    assert seen == outcome, repr(error)
    assert len(texts) == tokens
    assert ("é" in texts[2]) if fault == "split@2" else "é" not in "".join(texts)


@pytest.mark.parametrize("client", CLIENTS)
def test_error_in_a_stream_raises_the_clients_exception(serve: Serve, client: str) -> None:
    server = serve()
    _, _, error = _read_all(CLIENTS[client](server.port, "sim:tokens=6,gap=1ms,fault=error@2"))
    kind: Any = type(error)

    assert kind.__module__.partition(".")[0] == client
    assert "failed" in str(error)
