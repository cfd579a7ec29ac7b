"""Tool loops of the clients over three turns end, with upstreams that have the rules of different providers.

Each upstream calls two tools at once, then one more, and then responds with the results that it got. It refuses a
history that its provider would refuse.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import ollama
import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.upstream import DONE, SSE_HEAD, Exchange, event, scripted
from tests.sdk.clients import async_client

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
PNG = "iVBORw0KGgo="
Delta = dict[str, Any]
Calls = list[Delta]


class Provider:
    """The deltas of a turn and the rules for the history, of OpenAI; the others override them."""

    def call(self, turn: int, index: int, name: str, arguments: str) -> Calls:
        """The fragments of a call."""
        function = {"name": name, "arguments": ""}
        rest = {"index": index, "function": {"arguments": arguments}}
        return [{"index": index, "id": f"call_{turn}_{index}", "type": "function", "function": function}, rest]

    def thought(self, _turn: int) -> list[Delta]:
        return []

    def problem(self, _body: dict[str, Any], _messages: list[dict[str, Any]]) -> str:
        """Why the history is refused, "" if it is not. `messages` are those of the assistant that have calls."""
        return ""


class Gemini(Provider):
    def call(self, turn: int, index: int, name: str, arguments: str) -> Calls:
        extra = {"extra_content": {"google": {"thought_signature": f"c2ln+/{turn}="}}} if index == 0 else {}
        return [{"id": f"f-{turn}-{index}", "function": {"name": name, "arguments": arguments}, **extra}]

    def thought(self, turn: int) -> list[Delta]:
        marked = {"content": f"<thought>{turn}", "extra_content": {"google": {"thought": True}}}
        return [marked, {"content": "</thought>"}]

    def problem(self, body: dict[str, Any], messages: list[dict[str, Any]]) -> str:
        for turn, message in enumerate(messages):
            call = message["tool_calls"][0]
            signature = call.get("extra_content", {}).get("google", {}).get("thought_signature")
            is_own = call["id"].startswith("f-")  # Ollama's client does not send ids back
            if signature != (f"c2ln+/{turn}=" if is_own else "skip_thought_signature_validator"):
                return "Function call is missing a thought_signature in functionCall parts."
        return ""


class Mistral(Provider):
    def call(self, turn: int, index: int, name: str, arguments: str) -> Calls:
        return [{"index": index, "id": f"Abcdef{turn}{index}0", "function": {"name": name, "arguments": arguments}}]

    def problem(self, body: dict[str, Any], messages: list[dict[str, Any]]) -> str:
        ids = [call["id"] for message in messages for call in message["tool_calls"]]
        wrong = next((each for each in ids if not re.fullmatch("[A-Za-z0-9]{9}", each)), None)
        if wrong is not None:
            return f"Tool call id was {wrong} but must be a-z, A-Z, 0-9, with a length of 9."
        refused = next((name for name in ("stream_options", "reasoning_effort") if name in body), None)
        return f"{refused}: Extra inputs are not permitted" if refused else ""


class DeepSeek(Provider):
    def thought(self, turn: int) -> list[Delta]:
        return [{"content": None, "reasoning_content": f"{turn}"}]

    def problem(self, body: dict[str, Any], messages: list[dict[str, Any]]) -> str:
        if all(message.get("reasoning_content") for message in messages):
            return ""
        return "The `reasoning_content` in the thinking mode must be passed back to the API."


class WithoutIds(Provider):
    def call(self, turn: int, index: int, name: str, arguments: str) -> Calls:
        return [{"index": index, "function": {"name": name, "arguments": json.loads(arguments)}}]


def problem_of_openai(messages: list[dict[str, Any]]) -> str:
    """Every call needs its result before the next other message; tool messages are text."""
    pending: set[str] = set()
    for message in messages:
        if message["role"] != "tool":
            if pending:
                return f"no result of {pending}"
            pending = {call["id"] for call in message.get("tool_calls", [])}
        elif message["tool_call_id"] not in pending or not isinstance(message["content"], str):
            return f"a wrong result: {message}"
        else:
            pending.discard(message["tool_call_id"])
    return ""


def playing(provider: Provider) -> Callable[[Exchange], Any]:
    async def script(exchange: Exchange) -> None:
        messages = exchange.body["messages"]
        called = [message for message in messages if message.get("tool_calls")]
        problem = problem_of_openai(messages) or provider.problem(exchange.body, called)
        if problem:
            await exchange.respond(400, json.dumps({"error": {"message": problem}}).encode())
            return
        turn = len(called)
        deltas = provider.thought(turn)
        if turn == 0:
            calls = provider.call(0, 0, "weather", '{"city":"Oslo"}') + provider.call(0, 1, "screenshot", "{}")
        else:
            calls = provider.call(1, 0, "weather", '{"city":"Bergen"}') if turn == 1 else []
        deltas += [{"tool_calls": [call]} for call in calls]
        if not calls:
            results = [message["content"] for message in messages if message["role"] == "tool"]
            deltas.append({"content": json.dumps([results[0], results[2], PNG in str(messages)])})
        choices = [{"index": 0, "delta": delta} for delta in deltas] + [
            {"index": 0, "delta": {}, "finish_reason": "stop"}
        ]
        frames = (event(json.dumps({"choices": [choice]}).encode()) for choice in choices)
        await exchange.write(SSE_HEAD)
        await exchange.send_chunks(*frames, DONE)
        await exchange.send_last_chunk()

    return script


async def anthropic_loop(port: int, *, stream: bool) -> str:
    tools = [{"name": name, "input_schema": CITY} for name in ("weather", "screenshot")]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    text = ""
    async with async_client("anthropic", port) as client:
        for _ in range(3):
            fields = {"model": "m", "max_tokens": 2000, "messages": messages, "tools": tools, "thinking": thinking}
            if stream:
                async with client.messages.stream(**fields) as events:
                    message = await events.get_final_message()
            else:
                message = await client.messages.create(**fields)
            messages.append({"role": "assistant", "content": message.content})
            results = [
                {
                    "type": "tool_result",
                    "tool_use_id": block.id,
                    "content": [image] if block.name == "screenshot" else f"rain in {block.input['city']}",
                    "is_error": block.input == {"city": "Bergen"},
                }
                for block in message.content
                if block.type == "tool_use"
            ]
            assert (message.stop_reason == "tool_use") == bool(results)
            messages.append({"role": "user", "content": results})
            text = "".join(block.text for block in message.content if block.type == "text")
    return text


async def ollama_loop(port: int, *, stream: bool) -> str:
    tools = [{"type": "function", "function": {"name": name, "parameters": CITY}} for name in ("weather", "screenshot")]
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    text = ""
    async with async_client("ollama", port) as client:
        for _ in range(3):
            responded = await client.chat(model="m", messages=messages, tools=tools, stream=stream)
            parts = [part.message async for part in responded] if stream else [responded.message]
            text = "".join(part.content or "" for part in parts)
            calls = [call for part in parts for call in part.tool_calls or []]
            messages.append(ollama.Message(role="assistant", content=text, tool_calls=calls))
            for call in calls:
                result = {"role": "tool", "tool_name": call.function.name}
                if call.function.name == "screenshot":
                    messages.append({**result, "content": "", "images": [PNG]})
                else:
                    messages.append({**result, "content": f"rain in {call.function.arguments['city']}"})
    return text


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("loop", [anthropic_loop, ollama_loop])
@pytest.mark.parametrize("provider", [Provider, Gemini, Mistral, DeepSeek, WithoutIds])
async def test_tool_loop_ends_with_the_results(
    serve: Serve, provider: type[Provider], loop: Callable[..., Any], stream: bool
) -> None:
    async with scripted() as upstream:
        upstream.script = playing(provider())
        port = serve(UPSTREAM_URL=upstream.url, UPSTREAM_RETRIES="0").port

        assert json.loads(await loop(port, stream=stream)) == ["rain in Oslo", "rain in Bergen", True]
