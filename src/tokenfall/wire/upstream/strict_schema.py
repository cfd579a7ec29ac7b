"""Checks whether a JSON schema is in the subset that OpenAI supports, strictly or not. Pure.

Source: the OpenAI documentation, "Structured Outputs", "Supported schemas": the root is an object, every object lists
all its properties as required and allows no others, and composition other than `anyOf` is not supported.
"""

from typing import Any

import msgspec

_UNSUPPORTED = frozenset(
    {"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
     "propertyNames", "unevaluatedProperties", "minProperties", "maxProperties", "prefixItems", "contains", "default"}
)  # fmt: skip
_MAX_SCHEMAS = 5_000
_MAX_WITHOUT_PROPERTIES = 4_096
"""Bytes of a schema without properties; a larger one has others that describe the object."""
_WITHIN = ("properties", "$defs", "definitions")


def fits_strict(schema: bytes) -> bool:
    """Whether `strict` can be set; False if it is not a JSON schema or has more than 5,000 subschemas."""
    if b"additionalProperties" not in schema:
        return False
    root = _object_schema(schema)
    if root is None or "anyOf" in root:
        return False
    pending: list[Any] = [root]
    for _ in range(_MAX_SCHEMAS):
        if not pending:
            return True
        each = pending.pop()
        if not isinstance(each, dict) or not _fits(each):
            return False
        pending += _within(each)
    return False


def with_properties(schema: bytes) -> bytes:
    """The schema of a tool, with `properties` if it is of an object without them: OpenAI refuses such a schema."""
    if len(schema) > _MAX_WITHOUT_PROPERTIES or b'"properties"' in schema:
        return schema
    root = _object_schema(schema)
    return schema if root is None else msgspec.json.encode({**root, "properties": {}})


def _object_schema(schema: bytes) -> dict[str, Any] | None:
    """The decoded schema, None if it is not of an object."""
    try:
        root = msgspec.json.decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return root if isinstance(root, dict) and root.get("type") == "object" else None


def _fits(schema: dict[str, Any]) -> bool:
    if not _UNSUPPORTED.isdisjoint(schema):
        return False
    kind = schema.get("type")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind) and "properties" not in schema:
        return True
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return False
    return schema.get("additionalProperties") is False and sorted(map(str, required)) == sorted(properties)


def _within(schema: dict[str, Any]) -> list[Any]:
    """The direct subschemas of a schema."""
    found: list[Any] = []
    for name in _WITHIN:
        named = schema.get(name)
        found += named.values() if isinstance(named, dict) else []
    choices = schema.get("anyOf")
    found += choices if isinstance(choices, list) else []
    return found + ([schema["items"]] if "items" in schema else [])
