"""JSON schemas of request and response bodies under public names, generated from Structs.

The schema of a request body is generated from the Struct that decodes it.
"""

import re
from typing import Any

import msgspec

from tokenfall.api import openapi_answers
from tokenfall.api.control import GateBody, NewSim, SimBody
from tokenfall.api.dashboard_history import Trend
from tokenfall.conversations import ConversationInfo
from tokenfall.wire.anthropic import request as anthropic_request
from tokenfall.wire.ollama.embeddings import _EmbedBody, _EmbeddingsBody
from tokenfall.wire.ollama.models import _ShowBody
from tokenfall.wire.ollama.request import MAX_NAME, _ChatBody, _GenerateBody
from tokenfall.wire.openai import request as openai_request
from tokenfall.wire.openai.completions import _Body as _CompletionBody
from tokenfall.wire.openai.embeddings import _Body as _VectorsBody
from tokenfall.wire.openai.responses import request as openai_responses_request
from tokenfall.wire.openai.responses.input import _Call, _CallOutput, _MessageItem
from tokenfall.wire.plain import chat as plain
from tokenfall.wire.plain.importing import ImportBody

Schema = dict[str, Any]

BODIES: dict[str, tuple[str, type]] = {
    "chat": ("Chat", plain.ChatBody),
    "conversation": ("Conversation", plain.ConversationBody),
    "import": ("Import", ImportBody),
    "sim": ("Sim", SimBody),
    "new_sim": ("NewSim", NewSim),
    "gate": ("Gate", GateBody),
    "openai.chat": ("OpenAIChat", openai_request.ChatCompletionBody),
    "openai.completions": ("OpenAICompletion", _CompletionBody),
    "openai.responses": ("OpenAIResponse", openai_responses_request.ResponsesBody),
    "openai.embeddings": ("OpenAIEmbeddings", _VectorsBody),
    "anthropic": ("Anthropic", anthropic_request.MessagesBody),
    "anthropic.count": ("AnthropicCount", anthropic_request.Prompt),
    "ollama.chat": ("OllamaChat", _ChatBody),
    "ollama.generate": ("OllamaGenerate", _GenerateBody),
    "ollama.embed": ("OllamaEmbed", _EmbedBody),
    "ollama.embeddings": ("OllamaEmbeddings", _EmbeddingsBody),
    "ollama.show": ("OllamaShow", _ShowBody),
}
"""For each request body: the prefix of its component names, and the Struct that decodes it."""

_ITEMS = {
    "message": _MessageItem,
    "function_call": _Call,
    "function_call_output": _CallOutput,
}
"""The items that are decoded in the `input` of the Responses API, by their `type`."""

_CONSTRAINTS: dict[str, dict[str, Schema]] = {
    "anthropic": {"messages": {"minItems": 1}},
    "anthropic.count": {"messages": {"minItems": 1}},
    "openai.embeddings": {"input": {"minLength": 1, "minItems": 1}},
}
"""Constraints that are checked after decoding, so they are missing in the Structs."""

_NEED_A_MODEL = ("ollama.chat", "ollama.generate", "ollama.embed", "ollama.embeddings")
_REF = "#/components/schemas/"


def reference(name: str) -> Schema:
    """A reference to the component `name`."""
    return {"$ref": _REF + name}


def body_name(key: str) -> str:
    """The component name of a body in `BODIES`."""
    return BODIES[key][0] + "Request"


def components() -> dict[str, Schema]:
    """All schemas by component name: request bodies and responses."""
    found: dict[str, Schema] = {}
    for key in BODIES:
        found |= _of_body(key)
    responses = [kind for kind in vars(openapi_answers).values() if isinstance(kind, type) and _is_struct(kind)]
    kinds = [ConversationInfo, Trend, plain.ChatDefaults, *responses]
    _, named = msgspec.json.schema_components(kinds, ref_template=_REF + "{name}")
    found |= {name: _published(schema, {}) for name, schema in named.items()}
    return found


def _is_struct(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct


def _of_body(key: str) -> dict[str, Schema]:
    prefix, kind = BODIES[key]
    kinds = [kind, *_ITEMS.values()] if key == "openai.responses" else [kind]
    _, named = msgspec.json.schema_components(kinds, ref_template="{name}")
    names = {name: prefix + _public_name(name) for name in named} | {kind.__name__: body_name(key)}
    found = {names[name]: _published(schema, names) for name, schema in named.items()}
    body = found[body_name(key)]
    if key == "conversation":
        body["minProperties"] = 1
    if key == "ollama.show":
        body["anyOf"] = [{"required": ["model"]}, {"required": ["name"]}]
    for name, constraints in _CONSTRAINTS.get(key, {}).items():
        body["properties"][name] |= constraints
    if key in _NEED_A_MODEL:  # null means absent in this dialect, so its Structs have no required fields
        body["required"] = ["model"]
        body["properties"]["model"] = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
    if key == "openai.responses":
        _describe_input(body, {tag: names[item.__name__] for tag, item in _ITEMS.items()})
    return found


def _describe_input(body: Schema, names: dict[str, str]) -> None:
    """Adds the items of `input`: each is decoded separately by its `type`, so the body's Struct does not have them."""
    items = [
        {"allOf": [reference(name), _typed({"const": tag}, needed=tag != "message")]} for tag, name in names.items()
    ]
    other = _typed({"type": "string", "not": {"enum": [*names, "item_reference"]}}, needed=True)
    for choice in body["properties"]["input"]["anyOf"]:
        if choice.get("type") == "array":
            choice["items"] = {"anyOf": [*items, other]}


def _typed(kind: Schema, *, needed: bool) -> Schema:
    required = {"required": ["type"]} if needed else {}
    return {"type": "object", "properties": {"type": kind}, **required}


def _public_name(name: str) -> str:
    return name.lstrip("_").removeprefix("Raw")


def _is_title(key: str, value: object) -> bool:
    """Whether this is a schema's title, which only repeats the Struct's name, and not a property called `title`."""
    return key == "title" and isinstance(value, str)


def _published(value: Any, names: dict[str, str]) -> Any:  # noqa: ANN401 - any part of a schema
    """The schema with references to public component names, and with patterns in JSON Schema syntax."""
    if isinstance(value, list):
        return [_published(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    presented = {key: _published(each, names) for key, each in value.items() if not _is_title(key, each)}
    target = presented.get("$ref")
    if isinstance(target, str) and not target.startswith("#"):
        presented["$ref"] = _REF + names[target]
    pattern = presented.get("pattern")
    if isinstance(pattern, str):
        presented["pattern"] = re.sub(r"\\Z$", "$", pattern)
    return presented
