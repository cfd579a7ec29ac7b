"""Rate limits of a relaying server: response headers, and retries by clients after Retry-After."""

from collections.abc import Callable
from typing import Any

import anthropic
import groq
import ollama
import openai
import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.sdk.clients import anthropic_client, groq_client, ollama_client, openai_client
from tests.sdk.prompts import MESSAGES, MODEL

OPENAI_HEADERS = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
ANTHROPIC_HEADERS = (
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
)


@pytest.fixture
def limited(serve: Serve) -> ServerProcess:
    """A server that allows one request every 0.5 s."""
    upstream = serve(SIM="gap=100us")
    with openai_client(upstream.port) as client:
        _chat(client)  # loads modules, which must not count into the 0.5 s
    return serve(UPSTREAM_URL=f"http://127.0.0.1:{upstream.port}/v1", RATE_LIMIT_RPS="2", RATE_LIMIT_BURST="1")


def _chat(client: Any) -> Any:
    return client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)


def _message(client: Any) -> Any:
    return client.messages.with_raw_response.create(model=MODEL, messages=MESSAGES, max_tokens=5)


@pytest.mark.parametrize(
    ("connect", "send", "refusal", "headers"),
    [
        (openai_client, _chat, openai.RateLimitError, OPENAI_HEADERS),
        (groq_client, _chat, groq.RateLimitError, OPENAI_HEADERS),
        (anthropic_client, _message, anthropic.RateLimitError, ANTHROPIC_HEADERS),
    ],
    ids=["openai", "groq", "anthropic"],
)
def test_limited_client_retries_after_retry_after(
    limited: ServerProcess,
    connect: Callable[..., Any],
    send: Callable[[Any], Any],
    refusal: Any,
    headers: tuple[str, str, str],
) -> None:
    with connect(limited.port) as client:
        first = send(client)
        assert [first.headers[name] for name in headers[:2]] == ["1", "0"]
        assert first.headers[headers[2]]
        with pytest.raises(refusal) as caught:
            send(client)
        refused = caught.value.response.headers
        assert refused["retry-after"] == "1"
        assert [refused[name] for name in headers[:2]] == ["1", "0"]
    with connect(limited.port, retries=2) as client:
        again = send(client)
        assert again.retries_taken == 1
        assert again.parse()


def test_ollama_client_raises_429_over_the_limit(limited: ServerProcess) -> None:
    with ollama_client(limited.port) as client:
        assert client.chat(model=MODEL, messages=MESSAGES).done
        with pytest.raises(ollama.ResponseError) as caught:
            client.chat(model=MODEL, messages=MESSAGES)
    assert caught.value.status_code == 429
