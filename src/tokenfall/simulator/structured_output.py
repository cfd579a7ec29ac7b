"""Generates JSON texts that satisfy the schemas of a request. Pure.

A schema is decoded here and not with its request: decoding creates an object for each of its parts, which takes up to
50 ms per MiB, so the parts are counted and charged to the budget first.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from tokenfall.simulator.schema.budget import Budget, refused
from tokenfall.simulator.schema.keywords import Schema
from tokenfall.simulator.schema.sampler import instance
from tokenfall.slicing.computation import Sliced

MAX_DIGITS = 400
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_TYPED = {"type", "$ref", "allOf", "anyOf", "oneOf", "enum", "const"}

_decoder: msgspec.json.Decoder[Schema] = msgspec.json.Decoder(dict[str, Any] | bool, float_hook=float)
"""`float` parses a float of 17 digits and a large exponent in 0.3 us, msgspec in 17 us (0.20, measured)."""


def json_texts(schemas: Sequence[bytes], *, copies: int = 1, objects: bool = False) -> Sliced[list[str]]:
    """A JSON text for each of `schemas`, within one budget; a slice for each schema. Raises `InvalidRequest`.

    Each text will be sent `copies` times. With `objects`, a schema without a type is a schema of objects.
    """
    budget = Budget()
    texts = []
    for schema in schemas:
        texts.append(_json_text(schema, budget, objects=objects))
        yield
    size = sum(map(len, texts))
    budget.spend((copies - 1) * (size // 64 + sum(text.count(" ") for text in texts) // 16), "n")
    return texts


def _json_text(schema: bytes, budget: Budget, *, objects: bool) -> str:
    decoded = _decoded(schema, budget)
    if objects and isinstance(decoded, dict) and _TYPED.isdisjoint(decoded):
        decoded["type"] = "object"
    try:
        encoded = msgspec.json.encode(instance(decoded, budget))
        # With white space, because tokens are split there.
        return msgspec.json.format(encoded, indent=0).decode()
    except RecursionError:
        raise refused("a value is nested too deeply") from None


def _decoded(schema: bytes, budget: Budget) -> Schema:
    marks = sum(map(schema.count, (b"[", b"{", b",", b":")))
    budget.spend(len(schema) // 256 + marks // 4, "size of the schema")
    if b"0" * MAX_DIGITS in schema.translate(_ZEROS):  # parsing takes quadratic time in the number of digits
        raise refused(f"a number has {MAX_DIGITS} digits or more")
    try:
        return _decoder.decode(schema)
    except RecursionError:
        raise refused("it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refused(str(error)) from None
