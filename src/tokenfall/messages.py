"""What a caller asks of a model. Pure data: no transport, no dialect, no clock."""

from typing import Literal

from msgspec import Struct

Role = Literal["system", "user", "assistant", "tool"]


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """What a model wants done: `arguments` is the text of a JSON object, as the model said it.

    Of a `custom` tool they are any text.
    """

    id: str
    name: str
    arguments: str
    custom: bool = False


class Tool(Struct, frozen=True):
    """What a model may ask for. `parameters` is the JSON schema of its arguments, as a JSON text; b"" for none.

    A `custom` tool takes any text.
    """

    name: str
    description: str = ""
    parameters: bytes = b""
    custom: bool = False


class Message(Struct, frozen=True, omit_defaults=True):
    """One message of a conversation; `content` is text, never empty for a user's turn.

    `tool_calls` are an assistant's; a message of role `tool` answers the one that `tool_call_id` names. `images` are
    addresses, `data:` or `https:`, in the order in which they came with the text. `thought` is what an assistant
    thought before it said this: some models want it back.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    images: tuple[str, ...] = ()
    thought: str = ""


class ChatRequest(Struct, frozen=True, kw_only=True):
    """One question to an engine: the whole context, oldest message first, the user's new turn last.

    `max_tokens` bounds the answer. `temperature` and `top_p` are the provider's own scale, None for its default.
    `simulation` overrides the simulator's timing in its own grammar (`gap=20ms`); other engines ignore it.

    `tool_choice` is `auto`, `none`, `required` or the name of the one tool to call. `schema` is the JSON schema that
    the answer must satisfy, as a JSON text: decoding it takes time, and engines that pass it on need not. `json_object`
    asks for any JSON object. `stop` are texts before which the answer ends. `reasoning` asks for the model's thoughts
    beside its answer, where it has any; `effort` says how much to think (`low`, `medium`, `high`), "" where the caller
    did not. `hides_thoughts`: the caller switched them off. `shows_thoughts`: tell the
    thoughts that come, without asking for any. `refused` are members that the upstream is known to refuse.
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
    hides_thoughts: bool = False
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    refused: frozenset[str] = frozenset()
    shows_thoughts: bool = False
    n: int = 1
    min_tokens: int = 0
    ignore_eos: bool = False
