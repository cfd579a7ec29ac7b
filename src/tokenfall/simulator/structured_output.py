"""The JSON texts that the simulator writes for the schemas of a request. Pure.

A schema is decoded here and not with its request: the decoder makes an object of each of its parts, which takes up to
50 ms a MiB, so its parts are counted and paid for first.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from tokenfall.simulator.schema.budget import Budget, refused
from tokenfall.simulator.schema.keywords import Schema
from tokenfall.simulator.schema.sampler import instance

MAX_DIGITS = 400
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_TYPED = {"type", "$ref", "allOf", "anyOf", "oneOf", "enum", "const"}

_decoder: msgspec.json.Decoder[Schema] = msgspec.json.Decoder(dict[str, Any] | bool, float_hook=float)
"""`float` reads a float of 17 digits and a large exponent in 0.3 us, msgspec's own way in 17 us (0.20, measured)."""


def json_texts(schemas: Sequence[bytes], *, copies: int = 1, objects: bool = False) -> list[str]:
    """A JSON text for each of `schemas`, in one budget. Raises `InvalidRequest`.

    Each text will be sent `copies` times. With `objects`, a schema that names no type is one of objects.
    """
    budget = Budget()
    texts = [_json_text(schema, budget, objects=objects) for schema in schemas]
    size = sum(map(len, texts))
    budget.spend((copies - 1) * (size // 64 + sum(text.count(" ") for text in texts) // 16), "n")
    return texts


def _json_text(schema: bytes, budget: Budget, *, objects: bool) -> str:
    read = _decoded(schema, budget)
    if objects and isinstance(read, dict) and _TYPED.isdisjoint(read):
        read["type"] = "object"
    try:
        encoded = msgspec.json.encode(instance(read, budget))
        # With white space, as people write it: that is where tokens part.
        return msgspec.json.format(encoded, indent=0).decode()
    except RecursionError:
        raise refused("a value is nested too deeply") from None


def _decoded(schema: bytes, budget: Budget) -> Schema:
    marks = sum(map(schema.count, (b"[", b"{", b",", b":")))
    budget.spend(len(schema) // 256 + marks // 4, "size of the schema")
    if b"0" * MAX_DIGITS in schema.translate(_ZEROS):  # reading digits as a number takes the square of their number
        raise refused(f"a number has {MAX_DIGITS} digits or more")
    try:
        return _decoder.decode(schema)
    except RecursionError:
        raise refused("it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refused(str(error)) from None
