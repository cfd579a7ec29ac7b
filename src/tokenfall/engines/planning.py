"""What the simulator answers: decided before the first token, so that it can be counted, paced and framed. Pure.

The same request and the same plan of timing give the same answer, whatever the dialect.

- With tools: where the caller wants one called, the tools whose names the last user message mentions are called, the
  first of them alone where calls may not be parallel; where it mentions none, the first tool. Arguments satisfy the
  tool's schema. Once the results are in the messages, the answer is text.
- With a JSON schema or `json_object`: a JSON text that satisfies it.
- Else prose, as long as the grammar's `tokens` says.
- `stop` ends it before that text, `max_tokens` after so many tokens, `min_tokens` and `ignore_eos` make prose longer.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from tokenfall.engines.prose import WORDS, Prose
from tokenfall.engines.tokens import count_tokens, tokens_of
from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ChatRequest, Tool, ToolCall
from tokenfall.pacing.grammar import Length, Simulation, Spread
from tokenfall.pacing.timing import answer_length, schedule

GAP = Spread(0.1)
"""Between two tokens where nobody says otherwise."""

THOUGHTS = "The reader wants an answer, and it should come a token at a time. So I begin."


class Part(Struct, frozen=True):
    """A stretch of an answer: thoughts, text, or the arguments of `call`, which is then given without them."""

    tokens: Sequence[str]
    thought: bool = False
    call: ToolCall | None = None


class Planned(Struct, frozen=True):
    """One answer. `stop` is the text of `stop` that ended it."""

    parts: tuple[Part, ...]
    reason: FinishReason
    stop: str = ""


class Plan(Struct, frozen=True):
    """All answers to one request, and their times: `gaps` are the seconds before each token and before the end."""

    choices: tuple[Planned, ...]
    usage: Usage
    gaps: Iterator[float]


def plan(request: ChatRequest, simulation: Simulation, *, call_ids: str) -> Plan:
    """The answer to `request`. `call_ids` begins the ids of tool calls. Raises `InvalidRequest`."""
    random = Random(simulation.seed if simulation.seed is not None else request.seed)
    wanted = answer_length(simulation.tokens or Length(len(WORDS), len(WORDS)), random)
    one = _planned(request, wanted, call_ids=call_ids)
    choices = (one,) * request.n
    said = sum(len(part.tokens) for choice in choices for part in choice.parts)
    gaps = schedule(simulation.ttft, simulation.gap or GAP, random=random)
    return Plan(choices, Usage(prompt_tokens(request), said), gaps)


def prompt_tokens(request: ChatRequest) -> int:
    """How many tokens a request has: those of its messages' texts and of the calls in them."""
    texts = (message.content for message in request.messages)
    calls = (call.arguments for message in request.messages for call in message.tool_calls)
    return sum(map(count_tokens, texts)) + sum(map(count_tokens, calls))


def _planned(request: ChatRequest, wanted: int, *, call_ids: str) -> Planned:
    thoughts = [Part(tokens_of(THOUGHTS), thought=True)] if request.reasoning else []
    calls = [_call(tool, f"{call_ids}{number}") for number, tool in enumerate(_called(request))]
    if calls:
        return _bounded([*thoughts, *calls], request.max_tokens, reason="tool_calls")
    text, stop = _stopped(_text(request, wanted, thoughts=thoughts), request.stop)
    planned = _bounded([*thoughts, Part(text)], request.max_tokens, reason="stop")
    return planned if planned.reason == "length" else Planned(planned.parts, "stop", stop)


def _call(tool: Tool, call_id: str) -> Part:
    arguments = _satisfying(tool.parameters or {"type": "object"})
    return Part(tokens_of(arguments), call=ToolCall(call_id, tool.name, ""))


def _called(request: ChatRequest) -> Sequence[Tool]:
    """The tools to call: none where the results are there, or none is wanted."""
    choice, tools = request.tool_choice, request.tools
    if not tools or choice == "none" or request.messages[-1].role == "tool":
        return ()
    if choice not in ("auto", "required"):
        return [tool for tool in tools if tool.name == choice][:1]
    question = next((message.content for message in reversed(request.messages) if message.role == "user"), "")
    mentioned = [tool for tool in tools if tool.name in question] or tools[:1]
    return mentioned if request.parallel_tool_calls else mentioned[:1]


def _text(request: ChatRequest, wanted: int, *, thoughts: list[Part]) -> Sequence[str]:
    if request.schema is not None:
        return tokens_of(_satisfying(request.schema))
    if request.json_object:
        return tokens_of(_json({"answer": "Large language models let their answer fall."}))
    length = max(wanted, request.min_tokens)
    if request.ignore_eos:
        length = request.max_tokens - sum(len(part.tokens) for part in thoughts)
    # One more than the bound is enough to see that there was more to say.
    return Prose(max(0, min(length, request.max_tokens + 1)))


def _satisfying(schema: dict[str, Any]) -> str:
    from tokenfall.engines.schema import instance  # noqa: PLC0415 - few ask for it, and the simulator must be small

    return _json(instance(schema))


def _json(value: object) -> str:
    """As people write it, with white space: that is where tokens part."""
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def _stopped(text: Sequence[str], stops: Sequence[str]) -> tuple[Sequence[str], str]:
    """`text` up to the first of `stops` in it, and which that is."""
    if not stops:
        return text, ""
    joined = "".join(text)
    found = [(joined.find(stop), stop) for stop in stops if stop in joined]
    if not found:
        return text, ""
    at, stop = min(found)
    return tokens_of(joined[:at]), stop


def _bounded(parts: list[Part], most: int, *, reason: FinishReason) -> Planned:
    """`parts` with at most so many tokens together."""
    kept: list[Part] = []
    left = most
    for part in parts:
        if len(part.tokens) > left:
            if left:
                kept.append(Part(part.tokens[:left], part.thought, part.call))
            return Planned(tuple(kept), "length")
        kept.append(part)
        left -= len(part.tokens)
    return Planned(tuple(kept), reason)
