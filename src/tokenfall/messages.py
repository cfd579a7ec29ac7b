"""Requests to a model, independent of transport and dialect. Pure data."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tokenfall.callers import NOBODY, Caller

MAX_GRAMMAR = 32_768
"""Characters of the grammar of a tool."""

Role = Literal["system", "user", "assistant", "tool"]


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A tool call of the model. `arguments` is the text of a JSON object, unchanged; any text for a `custom` tool."""

    id: str
    name: str
    arguments: str
    custom: bool = False


class Grammar(Struct, frozen=True):
    """The grammar of a custom tool's input, with the members that OpenAI's API gives it."""

    definition: Annotated[str, Meta(max_length=MAX_GRAMMAR)]
    syntax: Literal["lark", "regex"]


class Tool(Struct, frozen=True):
    """A tool that the model may call. `parameters` is the JSON schema of its arguments, as JSON text; b"" without one.

    `strict`: the arguments of a call must satisfy it. A `custom` tool accepts any text, or the text that `grammar`
    describes, in the syntax `regex` or `lark`.
    """

    name: str
    description: str = ""
    parameters: bytes = b""
    custom: bool = False
    strict: bool = False
    grammar: Grammar | None = None


class Message(Struct, frozen=True, omit_defaults=True):
    """One message of a conversation; `content` is text, never empty for a user message.

    Only assistant messages have `tool_calls`; a message of role `tool` is the result of the call `tool_call_id`.
    `images` are `data:` or `https:` URLs, in their original order, and `image_places` their positions in `content`;
    these are empty if all images follow it. `thought` is the reasoning of an assistant message, which some models
    require to be sent back.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    images: tuple[str, ...] = ()
    image_places: tuple[int, ...] = ()
    thought: str = ""


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A request to an engine: the complete context, oldest message first, the new user message last.

    `max_tokens` limits the response. `temperature` and `top_p` have the provider's scale, None for its default.
    `simulation` overrides the simulator's timing in its grammar (`gap=20ms`); other engines ignore it.

    `tool_choice` is `auto`, `none`, `required` or the name of the one tool to call. `schema` is the JSON schema of the
    response, as JSON text, because decoding takes time and engines that pass it through need not decode it.
    `json_object` requests any JSON object. `stop` are the stop sequences. `reasoning` requests the model's reasoning
    beside its response, if it has any; `effort` is the reasoning effort (`low`, `medium`, `high`), "" if not given.
    `disables_reasoning`: the caller has switched reasoning off. `reports_reasoning`: report reasoning that the model
    sends, without requesting any. `rewrites` are the changes with which the upstream accepts the request (see
    `tokenfall.wire.upstream.rewrites`). `logprobs` requests log probabilities of the tokens, each with this number
    of alternatives. `caller` is used by the simulator only, which keeps the queues and gates of callers apart.
    """

    messages: tuple[Message, ...]
    model: str
    max_tokens: int
    temperature: float | None = None
    simulation: str = ""
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    schema: bytes | None = None
    schema_name: str = ""
    json_object: bool = False
    reasoning: bool = False
    effort: str = ""
    disables_reasoning: bool = False
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    rewrites: frozenset[str] = frozenset()
    reports_reasoning: bool = False
    n: int = 1
    logprobs: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    caller: Caller = NOBODY
