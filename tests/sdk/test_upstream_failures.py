"""Errors and broken responses of an upstream raise the client's own exceptions."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import groq
import ollama
import openai
import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.upstream import Exchange, Upstream, delta, event, scripted
from tests.sdk.clients import async_client
from tests.sdk.prompts import MESSAGES, MODEL, QUESTION
from tests.sdk.text_streams import (
    ReadTexts,
    anthropic_messages,
    ollama_chat,
    ollama_generate,
    openai_chat,
    openai_responses,
)

CLASSES = {
    400: "BadRequestError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
}
LIBRARIES: dict[str, Any] = {"openai": openai, "groq": groq, "anthropic": anthropic}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with scripted() as upstream:
        yield upstream


@pytest.fixture
def port(upstream: Upstream, serve: Serve) -> int:
    """The port of a server that relays to `upstream` without retries."""
    return serve(UPSTREAM_URL=upstream.url, UPSTREAM_RETRIES="0").port


def _create(name: str, client: Any, *, stream: bool) -> Any:
    fields: Any = {"model": MODEL, "messages": MESSAGES, "stream": stream}
    if name == "anthropic":
        return client.messages.create(**fields, max_tokens=5)
    return client.chat.completions.create(**fields)


@pytest.mark.parametrize("name", ["openai", "groq", "anthropic"])
async def test_upstream_status_raises_the_clients_exception(upstream: Upstream, port: int, name: str) -> None:
    async with async_client(name, port) as client:
        for status, expected in CLASSES.items():
            _refuse(upstream, status)
            for stream in (False, True):
                with pytest.raises(getattr(LIBRARIES[name], expected)) as caught:
                    await _create(name, client, stream=stream)
                assert caught.value.status_code == status
                assert isinstance(caught.value.body, dict)
                if status == 429:
                    assert caught.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("name", ["openai", "groq", "anthropic"])
async def test_refused_server_key_is_not_an_error_of_the_clients_key(
    upstream: Upstream, port: int, name: str, status: int
) -> None:
    async with async_client(name, port) as client:
        _refuse(upstream, status)
        for stream in (False, True):
            with pytest.raises(LIBRARIES[name].InternalServerError) as caught:
                await _create(name, client, stream=stream)
            assert caught.value.status_code == 502
            assert "the upstream refused the server's key" in str(caught.value)
            assert caught.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("status", [401, 403])
async def test_ollama_client_gets_502_for_a_refused_server_key(upstream: Upstream, port: int, status: int) -> None:
    async with async_client("ollama", port) as client:
        _refuse(upstream, status)
        with pytest.raises(ollama.ResponseError, match="the upstream refused the server's key") as caught:
            await client.chat(model=MODEL, messages=MESSAGES)
        assert caught.value.status_code == 502


async def test_upstream_status_raises_the_clients_exception_for_responses(upstream: Upstream, port: int) -> None:
    async with async_client("openai", port) as client:
        for status, expected in CLASSES.items():
            _refuse(upstream, status)
            for stream in (False, True):
                with pytest.raises(getattr(openai, expected)):
                    await client.responses.create(model=MODEL, input=QUESTION, stream=stream)


async def test_ollama_client_gets_the_provider_status(upstream: Upstream, port: int) -> None:
    async with async_client("ollama", port) as client:
        for status in CLASSES:
            _refuse(upstream, status)
            with pytest.raises(ollama.ResponseError) as caught:
                await client.chat(model=MODEL, messages=MESSAGES)
            assert caught.value.status_code == status
            with pytest.raises(ollama.ResponseError) as caught:
                _ = [part async for part in await client.chat(model=MODEL, messages=MESSAGES, stream=True)]
            assert caught.value.status_code == status


def _refuse(upstream: Upstream, status: int) -> None:
    async def script(exchange: Exchange) -> None:
        error = {"message": "No.", "type": "some_error", "param": "temperature", "code": None}
        body = json.dumps({"error": error}).encode()
        await exchange.respond(status, body, headers=b"Content-Type: application/json\r\nRetry-After: 7\r\n")

    upstream.script = script


STREAM_READERS = pytest.mark.parametrize(
    ("name", "read_texts", "error"),
    [
        ("openai", openai_chat, openai.APIError),
        ("openai", openai_responses, openai.APIError),
        ("groq", openai_chat, groq.APIError),
        ("anthropic", anthropic_messages, anthropic.APIError),
        ("ollama", ollama_chat, ollama.ResponseError),
        ("ollama", ollama_generate, ollama.ResponseError),
    ],
    ids=["openai", "openai-responses", "groq", "anthropic", "ollama-chat", "ollama-generate"],
)


@STREAM_READERS
async def test_broken_response_is_never_complete_for_a_client(
    upstream: Upstream, port: int, name: str, read_texts: ReadTexts, error: type[Exception]
) -> None:
    async with async_client(name, port) as client:
        for end in ("reset", "closed", "ended", "error"):
            tokens_received = asyncio.Event()
            _set_broken_script(upstream, end, tokens_received=tokens_received)
            texts: list[str] = []
            with pytest.raises(error) as caught:
                await _collect_texts(read_texts(client), texts, tokens_received=tokens_received)
            assert texts == ["Two", " tokens"], end
            assert "upstream" in str(caught.value)


@pytest.mark.parametrize("name", ["anthropic", "ollama"])
async def test_broken_stream_is_never_complete_in_a_stream_helper(upstream: Upstream, port: int, name: str) -> None:
    tokens_received = asyncio.Event()
    tokens_received.set()
    async with async_client(name, port) as client:
        for end in ("reset", "closed", "ended", "error"):
            _set_broken_script(upstream, end, tokens_received=tokens_received)
            if name == "anthropic":
                with pytest.raises(anthropic.InternalServerError):
                    await _create(name, client, stream=False)
            else:
                with pytest.raises(ollama.ResponseError) as caught:
                    await client.chat(model=MODEL, messages=MESSAGES)
                assert caught.value.status_code == 502


async def _collect_texts(stream: AsyncIterator[str], texts: list[str], *, tokens_received: asyncio.Event) -> None:
    """Append all texts of the stream to `texts`; set the event at the second one."""
    async for text in stream:
        texts.append(text)
        if len(texts) == 2:
            tokens_received.set()


def _set_broken_script(upstream: Upstream, end: str, *, tokens_received: asyncio.Event) -> None:
    """Break responses after two tokens: by RST, FIN, an end without `[DONE]`, or an error event.

    The break waits for `tokens_received`, since a RST discards unread data.
    """

    async def script(exchange: Exchange) -> None:
        make_delta = _responses_delta if exchange.head.startswith(b"POST /v1/responses ") else delta
        await exchange.send_head()
        await exchange.send_chunks(make_delta("Two"), make_delta(" tokens"))
        await tokens_received.wait()
        if end == "reset":
            exchange.reset()
        elif end == "closed":
            exchange.writer.close()
        else:
            if end == "error":
                await exchange.send_chunks(event(b'{"error":{"message":"The upstream broke.","type":"server_error"}}'))
            await exchange.send_last_chunk()

    upstream.script = script


def _responses_delta(text: str) -> bytes:
    """Return a text delta event of the Responses API."""
    document = {
        "type": "response.output_text.delta",
        "sequence_number": 0,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": text,
        "logprobs": [],
    }
    return event(json.dumps(document).encode())
