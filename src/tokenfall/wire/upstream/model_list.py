"""Reads the list of models of an upstream. Pure.

Source: the OpenAI API reference, "List models". Together and GitHub Models respond with the bare array; others name it
`models`, or a model's id `name` or `model`.
"""

from typing import Any

import msgspec
from msgspec import Struct

from tokenfall.errors import UpstreamMalformed
from tokenfall.wire.upstream.lenient_json import NotJSON, decode_leniently
from tokenfall.wire.upstream.surrogates import without_surrogates

_LISTS = ("data", "models")
_IDS = ("id", "name", "model")


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


_decode = msgspec.json.Decoder(_Models).decode


def model_names(body: bytes) -> list[str]:
    """The names in their order, each once. Raises `UpstreamMalformed`."""
    try:
        names = [model.id for model in _decode(body).data]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        names = _lenient_names(body)
    return list(dict.fromkeys(names))


def _lenient_names(body: bytes) -> list[str]:
    try:
        document = decode_leniently(body)
    except NotJSON:
        raise _malformed() from None
    if isinstance(document, dict):
        document = next((found for name in _LISTS if isinstance(found := document.get(name), list)), None)
    if not isinstance(document, list):
        raise _malformed()
    names = [without_surrogates(name) for item in document if (name := _name(item))]
    if document and not names:
        raise _malformed()
    return names


def _name(item: Any) -> str:  # noqa: ANN401 - any JSON
    if isinstance(item, dict):
        item = next((found for name in _IDS if isinstance(found := item.get(name), str)), None)
    return item if isinstance(item, str) else ""


def _malformed() -> UpstreamMalformed:
    return UpstreamMalformed("the upstream's list of models is malformed")
