"""An agent loop: call a tool, return its result to the model, and end with text."""

from collections.abc import Callable
from typing import Any

import anthropic

from tokenfall.testing import TokenfallServer

WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Basel", "Bern"]}},
        "required": ["city"],
    },
}


def answer(client: anthropic.Anthropic, question: str, *, get_weather: Callable[..., str]) -> str:
    """The code under test: sends requests until the model calls no tool."""
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        reply = client.messages.create(model="sim", max_tokens=200, messages=messages, tools=[WEATHER])
        if reply.stop_reason != "tool_use":
            return "".join(block.text for block in reply.content if block.type == "text")
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": get_weather(**block.input)}
            for block in reply.content
            if block.type == "tool_use"
        ]
        messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]


def test_loop_calls_the_tool_once_and_ends_with_text(tokenfall_server: TokenfallServer) -> None:
    tokenfall_server.journal()
    cities: list[str] = []

    def get_weather(city: str) -> str:
        cities.append(city)
        return "Rain."

    with anthropic.Anthropic(base_url=tokenfall_server.anthropic_url, api_key="any") as client:
        text = answer(client, "What does get_weather say?", get_weather=get_weather)

    assert text
    assert cities in (["Basel"], ["Bern"])
    first, second = (request.json() for request in tokenfall_server.requests())
    assert len(first["messages"]) == 1
    assert second["messages"][-1]["content"][0]["content"] == "Rain."
