"""The same seed gives the same text, streamed or not."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.sdk.clients import groq_client, ollama_client, openai_client
from tests.sdk.conftest import SiteUnderTest
from tests.sdk.prompts import MESSAGES, MODEL, QUESTION

SEEDS = range(6)


def _chat(client: Any, seed: int, *, stream: bool) -> str:
    response = client.chat.completions.create(model=MODEL, messages=MESSAGES, seed=seed, stream=stream)
    if not stream:
        return str(response.choices[0].message.content)
    return "".join(chunk.choices[0].delta.content or "" for chunk in response if chunk.choices)


def _completion(client: Any, seed: int, *, stream: bool) -> str:
    return str(client.completions.create(model=MODEL, prompt=QUESTION, max_tokens=100, seed=seed).choices[0].text)


def _ollama(client: Any, seed: int, *, stream: bool) -> str:
    response = client.chat(model=MODEL, messages=MESSAGES, options={"seed": seed}, stream=stream)
    return "".join(part.message.content for part in (response if stream else [response]))


@pytest.mark.parametrize(
    ("connect", "send"),
    [(openai_client, _chat), (openai_client, _completion), (groq_client, _chat), (ollama_client, _ollama)],
    ids=["openai", "openai-legacy", "groq", "ollama"],
)
def test_seed_determines_the_response(
    varied: SiteUnderTest, connect: Callable[[int], Any], send: Callable[..., str]
) -> None:
    with connect(varied.port) as client:
        texts = [send(client, seed, stream=False) for seed in SEEDS]
        assert [send(client, seed, stream=True) for seed in SEEDS] == texts
    assert len(set(texts)) > 1
