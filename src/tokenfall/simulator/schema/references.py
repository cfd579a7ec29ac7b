"""Resolves a `$ref`: a JSON pointer (RFC 6901) in a URI fragment, within the same schema. Pure."""

from typing import Any

from tokenfall.simulator.schema.budget import Budget, malformed, unsatisfiable
from tokenfall.simulator.schema.keywords import Schema

MAX_REFERENCE = 1_000


def resolve_reference(root: Schema, reference: str, *, budget: Budget) -> Schema:
    """The schema at `reference`, as the same object as in `root`. Raises `InvalidRequest`."""
    if len(reference) > MAX_REFERENCE:
        raise malformed("$ref", f"a string of at most {MAX_REFERENCE} characters")
    if reference != "#" and not reference.startswith("#/"):
        raise unsatisfiable("`$ref` must be within the schema: # or a path such as #/$defs/name")
    budget.spend(1 + len(reference) // 8, "$ref")
    found: Any = root
    for part in _unescaped(reference)[1:].split("/")[1:]:
        budget.spend(1, "$ref")
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and _is_index(key) and int(key) < len(found):
            found = found[int(key)]
        else:
            raise unsatisfiable(f"`$ref`: there is nothing at {reference[:80]!r}")
    if not isinstance(found, (dict, bool)):
        raise unsatisfiable(f"`$ref`: {reference[:80]!r} is not a schema")
    return found


def _unescaped(reference: str) -> str:
    if "%" not in reference:
        return reference
    from urllib.parse import unquote  # noqa: PLC0415 - the import takes 2 ms, and few references have escapes

    return unquote(reference)


def _is_index(key: str) -> bool:
    """Whether `key` is an array index: digits without a leading zero, so that each item has one index."""
    return key.isascii() and key.isdecimal() and len(key) < 10 and (key == "0" or not key.startswith("0"))
