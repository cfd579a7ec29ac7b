"""JSON schemas of request and response bodies, generated from the Structs that decode and encode them.

The names of a request body's schemas begin with the name of its Struct without `Body`; those of responses are the names
of their Structs.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tokenfall.wire.anthropic.response import OutputBlock
from tokenfall.wire.ollama.embeddings import OllamaEmbedBody, OllamaEmbeddingsBody
from tokenfall.wire.ollama.models import OllamaShowBody
from tokenfall.wire.ollama.request import MAX_NAME, OllamaChatBody, OllamaGenerateBody
from tokenfall.wire.openai.document import OutputToolCall
from tokenfall.wire.openai.responses.body import ResponsesBody
from tokenfall.wire.openai.responses.document import ResponseItem
from tokenfall.wire.openai.responses.input import CallItem, CallOutputItem, MessageItem
from tokenfall.wire.plain.conversations import ConversationBody

Schema = dict[str, Any]

_ITEMS = {"message": MessageItem, "function_call": CallItem, "function_call_output": CallOutputItem}
"""The items that are decoded in the `input` of the Responses API, by their `type`."""

_NEED_A_MODEL = (OllamaChatBody, OllamaGenerateBody, OllamaEmbedBody, OllamaEmbeddingsBody)
"""Null means absent in this dialect, so its Structs have no required fields."""

_ALTERNATIVES = (OutputBlock, OutputToolCall, ResponseItem)
"""Structs in responses that are always one of their subclasses, distinguished by `type`."""

_REF = "#/components/schemas/"


def reference(name: str) -> Schema:
    """A reference to the component `name`."""
    return {"$ref": _REF + name}


def body_name(body: type) -> str:
    """The component name of a request body."""
    return _prefix(body) + "Request"


def of_responses(kinds: Sequence[Any]) -> dict[str, Schema]:
    """The schemas of the Structs in responses, by component name."""
    alternatives = [kind for base in _ALTERNATIVES for kind in base.__subclasses__()]
    _, named = msgspec.json.schema_components([*kinds, *alternatives], ref_template=_REF + "{name}")
    found = {name: _published(schema, {}) for name, schema in named.items()}
    for schema in found.values():
        _require_defaults(schema)
    for base in _ALTERNATIVES:
        references = {_type_of(found[kind.__name__]): reference(kind.__name__) for kind in base.__subclasses__()}
        mapping = {value: each["$ref"] for value, each in references.items()}
        found[base.__name__] = {
            "anyOf": [*references.values()],
            "discriminator": {"propertyName": "type", "mapping": mapping},
        }
    return found


def _type_of(schema: Schema) -> str:
    [value] = schema["properties"]["type"]["enum"]
    return str(value)


def _require_defaults(schema: Schema) -> None:
    """Makes the fields with a default required, as they are always encoded; those that may be absent have UNSET."""
    for name, field in schema["properties"].items():
        if "default" in field:
            del field["default"]
            schema["required"].append(name)


def of_body(body: type) -> dict[str, Schema]:
    """The schemas of a request body, by component name."""
    kinds = [body, *_ITEMS.values()] if body is ResponsesBody else [body]
    _, named = msgspec.json.schema_components(kinds, ref_template="{name}")
    names = {name: _prefix(body) + _public_name(name) for name in named} | {body.__name__: body_name(body)}
    found = {names[name]: _published(schema, names) for name, schema in named.items()}
    schema = found[body_name(body)]
    if body is ConversationBody:
        schema["minProperties"] = 1
    elif body is OllamaShowBody:
        schema["anyOf"] = [{"required": ["model"]}, {"required": ["name"]}]
    elif body in _NEED_A_MODEL:
        schema["required"] = ["model"]
        schema["properties"]["model"] = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
    elif body is ResponsesBody:
        _describe_input(schema, {tag: names[item.__name__] for tag, item in _ITEMS.items()})
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


def _prefix(body: type) -> str:
    return body.__name__.removesuffix("Body")


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
