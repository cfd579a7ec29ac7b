"""Plans a simulated response before its first token, so that it can be counted, paced and framed. Pure.

The same request and configuration give the same response in every dialect.

- With tools: calls of those that `tools_to_call` selects, if any, with arguments that satisfy their schemas.
- With a JSON schema or `json_object`: a JSON text that satisfies it.
- Else by the grammar's `text`: prose, the question itself, or random words, of the length set by `tokens`.
- `stop` ends the text before that sequence, `max_tokens` after that many tokens; `min_tokens` and `ignore_eos` make
  prose longer.

Planning is sliced (see `tokenfall.slicing`): a request may require a million tokens, or contain a megabyte of words.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from random import Random
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from tokenfall.errors import InvalidRequest
from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ChatRequest, Tool, ToolCall
from tokenfall.simulator.estimate import tokens_besides
from tokenfall.simulator.fault_plan import draw_faults
from tokenfall.simulator.grammar import Simulation
from tokenfall.simulator.paragraph import WORDS
from tokenfall.simulator.prose import Prose, RandomWords
from tokenfall.simulator.state import GAP
from tokenfall.simulator.stops import truncate_at_stop
from tokenfall.simulator.timing import response_length, schedule
from tokenfall.simulator.tool_choice import last_question, tools_to_call
from tokenfall.simulator.values import MAX_TOKENS, Fault, Length
from tokenfall.slicing.computation import Sliced
from tokenfall.tokens import counted, repeat_text, tokens_of
from tokenfall.utf8 import utf8_size

if TYPE_CHECKING:
    from tokenfall.recording.empirical import Empirical

MAX_RESPONSE_TOKENS = 2**20
"""Maximum tokens of all choices of one request: a complete response is held in memory."""

MAX_ECHOED_CHARACTERS = 2**23
"""Maximum characters of a response that repeats the question."""

MAX_ECHOED_BYTES = 32_768
"""Maximum size of a question to repeat: its stream holds it, with four bytes for each token."""

THOUGHTS = "The reader wants an answer, and it should come a token at a time. So I begin."


CUSTOM_INPUT = "Tokenfall says this to a custom tool."


class PlannedPart(Struct, frozen=True):
    """A part of a response: text, reasoning (`thought`), or the arguments of `call`, which has none itself."""

    tokens: Sequence[str]
    thought: bool = False
    call: ToolCall | None = None


class PlannedResponse(Struct, frozen=True):
    """One choice of a response. `stop` is the stop sequence that ended it."""

    parts: tuple[PlannedPart, ...]
    reason: FinishReason
    stop: str = ""


class Plan(Struct, frozen=True):
    """All choices of a response, and its timing: `gaps` are the seconds before each token and before the end.

    `faults` are the faults of this response; `error` is the message of an error that a script configures.
    """

    choices: tuple[PlannedResponse, ...]
    usage: Usage
    gaps: Iterator[float]
    faults: tuple[Fault, ...] = ()
    error: str = ""


class ScenarioResponse(Struct, frozen=True):
    """A response before token limits are applied. With `error` set, it fails with that message after its last token."""

    parts: tuple[PlannedPart, ...]
    reason: FinishReason
    error: str = ""


def plan(
    request: ChatRequest,
    simulation: Simulation,
    *,
    call_ids: str,
    scripted: ScenarioResponse | None = None,
    timing: "Empirical | None" = None,
) -> Sliced[Plan]:
    """The response to `request`: `scripted`, if given, with the measured times of `timing`, if given.

    `call_ids` is the prefix of tool call ids. Raises `InvalidRequest`.
    """
    random = Random(simulation.seed if simulation.seed is not None else request.seed)
    if scripted is None:
        filler = yield from _filler(request, simulation, random=random)
        choice = yield from _planned(request, filler, call_ids=call_ids)
    else:
        choice = _bounded(scripted.parts, request.max_tokens, reason=scripted.reason)
    choices = _choices(choice, request.n, call_ids=call_ids)
    tokens = request.n * sum(len(part.tokens) for part in choice.parts)
    if tokens > MAX_RESPONSE_TOKENS:
        raise InvalidRequest(f"the simulator generates at most {MAX_RESPONSE_TOKENS} tokens at once")
    thought = request.n * sum(len(part.tokens) for part in choice.parts if part.thought)
    usage = Usage((yield from prompt_tokens(request)), tokens, reasoning_tokens=thought)
    gaps = response_gaps(simulation, random, prompt=usage.prompt_tokens)
    if timing is not None:
        gaps = timing.schedule(random)
    faults = draw_faults(simulation, random)
    error = "" if scripted is None else scripted.error
    if error and choice.reason != "length":
        faults += (Fault("error", at=tokens),)
    return Plan(choices, usage, gaps, faults, error)


def response_gaps(simulation: Simulation, random: Random, *, prompt: int) -> Iterator[float]:
    """The gaps of one response to a prompt of `prompt` tokens."""
    gaps = schedule(simulation.ttft, simulation.gap or GAP, random=random)
    prefill_s = (simulation.prefill_s or 0.0) * prompt / 1000
    return chain((next(gaps) + prefill_s,), gaps) if prefill_s else gaps


def _filler(request: ChatRequest, simulation: Simulation, *, random: Random) -> Sliced[Sequence[str]]:
    """The text of a response without tool calls and JSON; `max_tokens` is not yet applied."""
    question = last_question(request) if simulation.text == "echo" else ""
    echoed = yield from counted(iter((question,)))
    default = echoed or len(WORDS)
    wanted = max(response_length(simulation.tokens or Length(default, default), random), request.min_tokens)
    if request.ignore_eos:
        wanted = min(request.max_tokens, MAX_TOKENS) + 1
    wanted = min(wanted, request.max_tokens + 1)  # one more than the limit, to detect truncation
    if simulation.text == "words":
        return RandomWords(random.getrandbits(64), wanted)
    if echoed:
        if utf8_size(question) > MAX_ECHOED_BYTES:
            raise InvalidRequest(f"the simulator echoes a text of at most {MAX_ECHOED_BYTES} bytes")
        if wanted * len(question) > MAX_ECHOED_CHARACTERS * echoed:
            raise InvalidRequest(f"the simulator echoes no more than {MAX_ECHOED_CHARACTERS} characters at once")
        return (yield from repeat_text(question, wanted))
    return Prose(wanted)


def prompt_tokens(request: ChatRequest) -> Sliced[int]:
    """Number of tokens of a request: the text and calls of its messages, images and tools."""
    texts = (message.content for message in request.messages)
    calls = (call.arguments for message in request.messages for call in message.tool_calls)
    return (yield from counted(chain(texts, calls))) + tokens_besides(request)


def _planned(request: ChatRequest, filler: Sequence[str], *, call_ids: str) -> Sliced[PlannedResponse]:
    thoughts = [PlannedPart(tokens_of(THOUGHTS), thought=True)] if request.reasoning else []
    calls = yield from _calls(request, call_ids=call_ids)
    if calls:
        return _bounded([*thoughts, *calls], request.max_tokens, reason="tool_calls")
    most = min(request.max_tokens, MAX_TOKENS) if request.ignore_eos else request.max_tokens
    text = yield from _text(request, filler)
    left = max(0, most - sum(len(part.tokens) for part in thoughts))
    truncated, stop = (yield from truncate_at_stop(text[:left], request.stop)) if request.stop else (text, "")
    return _bounded([*thoughts, PlannedPart(truncated if stop else text)], most, reason="stop", stop=stop)


def _choices(choice: PlannedResponse, count: int, *, call_ids: str) -> tuple[PlannedResponse, ...]:
    """`count` equal choices, in which each tool call has an id of its own."""
    calls = sum(part.call is not None for part in choice.parts)
    if not calls or count == 1:
        return (choice,) * count
    ids = map(f"{call_ids}{{}}".format, range(calls * count))
    return tuple(_with_ids(choice, ids) for _ in range(count))


def _with_ids(choice: PlannedResponse, ids: Iterator[str]) -> PlannedResponse:
    parts = (
        part if part.call is None else replace(part, call=replace(part.call, id=next(ids))) for part in choice.parts
    )
    return replace(choice, parts=tuple(parts))


def _calls(request: ChatRequest, *, call_ids: str) -> Sliced[list[PlannedPart]]:
    tools = tools_to_call(request)
    if not tools:
        return []
    yield
    schemas = [tool.parameters or b"{}" for tool in tools if not tool.custom]
    texts = iter((yield from _json_texts(schemas, copies=request.n, objects=True)) if schemas else ())
    calls = []
    for number, tool in enumerate(tools):
        text = (yield from _custom_input(tool, copies=request.n)) if tool.custom else next(texts)
        tokens = tokens_of(text)
        calls.append(PlannedPart(tokens, call=ToolCall(f"{call_ids}{number}", tool.name, "", custom=tool.custom)))
        yield
    return calls


def _custom_input(tool: Tool, *, copies: int) -> Sliced[str]:
    """The input of a custom tool, which matches its grammar. Raises `InvalidRequest` if none can be generated."""
    grammar = tool.grammar
    if grammar is None:
        return CUSTOM_INPUT
    if grammar.syntax != "regex":
        raise InvalidRequest(
            f"the simulator has no input for the tool {tool.name!r}: of grammars it supports the syntax regex only",
            param="tools",
        )
    import msgspec  # noqa: PLC0415 - few requests have a grammar

    # A text, as an instance of a schema: so it has the budget of schemas.
    pattern = {"type": "string", "minLength": 1, "pattern": f"^(?:{grammar.definition})$"}
    texts = yield from _json_texts([msgspec.json.encode(pattern)], copies=copies)
    return msgspec.json.decode(texts[0], type=str)


def _text(request: ChatRequest, filler: Sequence[str]) -> Sliced[Sequence[str]]:
    if request.schema is not None:
        return tokens_of((yield from _json_texts([request.schema], copies=request.n))[0])
    if request.json_object:
        return tokens_of('{"answer": "Large language models send tokens."}')
    return filler


def _json_texts(schemas: Sequence[bytes], *, copies: int, objects: bool = False) -> Sliced[list[str]]:
    from tokenfall.simulator.structured_output import json_texts  # noqa: PLC0415 - few requests have a schema

    return json_texts(schemas, copies=copies, objects=objects)


def _bounded(parts: Sequence[PlannedPart], most: int, *, reason: FinishReason, stop: str = "") -> PlannedResponse:
    """`parts` truncated to `most` tokens in total."""
    truncated: list[PlannedPart] = []
    left = most
    for part in parts:
        if len(part.tokens) > left:
            if left:
                truncated.append(PlannedPart(part.tokens[:left], part.thought, part.call))
            return PlannedResponse(tuple(truncated), "length")
        truncated.append(part)
        left -= len(part.tokens)
    return PlannedResponse(tuple(truncated), reason, stop)
