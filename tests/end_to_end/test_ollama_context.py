"""A client of Ollama continues a conversation with `context`, though the upstream knows no such thing."""

import json
from typing import Any

import pytest

from tests.end_to_end.client import fetch, request
from tests.end_to_end.test_upstream import relaying


async def generated(port: int, **fields: Any) -> dict[str, Any]:
    """The response of `/api/generate`, or the last line of its stream."""
    body = json.dumps({"model": "up-1", **fields})
    answer = await fetch(port, request("/api/generate", method="POST", body=body, Content_Type="application/json"))
    assert answer.status == 200, answer.body
    last: dict[str, Any] = json.loads(answer.body.splitlines()[-1])
    return last


@pytest.mark.parametrize("stream", [True, False])
async def test_a_context_that_is_sent_back_continues_the_conversation(stream: bool) -> None:
    async with relaying() as (here, upstream):
        first = await generated(here.port, prompt="one", system="Be kind.", stream=stream)
        second = await generated(here.port, prompt="two", context=first["context"], stream=stream)
        await generated(here.port, prompt="three", context=second["context"], stream=stream)
        await generated(here.port, prompt="four", context=[1, 2, 3], stream=stream)

        sent = [[each["content"] for each in exchange.body["messages"]] for exchange in upstream.exchanges]
        assert sent == [
            ["Be kind.", "one"],
            ["Be kind.", "one", "Hello", "two"],
            ["Be kind.", "one", "Hello", "two", "Hello", "three"],
            ["four"],
        ]


async def test_the_simulator_has_no_context_and_takes_any() -> None:
    async with relaying() as (here, upstream):
        last = await generated(here.port, model="sim:gap=0ms,tokens=2", prompt="one", context=[1, 2, 3])

        assert last["done"] is True
        assert "context" not in last
        assert upstream.exchanges == []
