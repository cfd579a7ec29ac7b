"""Ids of output items. As nothing is stored, the id of a call contains what an `item_reference` to it needs. Pure."""

from zlib import crc32

from tokenfall.messages import ToolCall

NUMBER_DIGITS = 24
"""Hexadecimal digits of a response's number, with which the ids of its items begin."""

DIGEST_DIGITS = 4


def item_id(kind: str, number: str, *, index: int, call: ToolCall | None = None) -> str:
    """The id of output item `index` in the response with this `number`.

    For a call whose own id was generated from the response number, the item id contains the call id and a digest of the
    tool's name, so that an `item_reference` to it identifies both.
    """
    prefix = {"text": "msg", "thought": "rs"}.get(kind, "ctc" if call is not None and call.custom else "fc")
    if call is not None and call.id.startswith(f"call_{number}"):
        return prefix + call.id.removeprefix("call") + digest_of(call.name)
    return f"{prefix}_{number}{index}"


def digest_of(name: str) -> str:
    """A digest of a tool's name."""
    return f"{crc32(name.encode(errors='replace')) & 0xFFFF:04x}"
