"""Responses of `GET /v1/models` and `GET /v1/models/{id}`. Pure.

Source: the OpenAI API reference, "Models".
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from tokenfall.wire.api_error import ApiError
from tokenfall.wire.openai import errors as openai_errors

OWNER = "tokenfall"
_encode = msgspec.json.encode


class Model(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = OWNER


class Models(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Model]


def model_list(ids: Sequence[str], created_s: float) -> bytes:
    """All models, in the order of `ids`. `created_s` is Unix time."""
    return _encode(Models(data=[Model(id=each, created=int(created_s)) for each in ids]))


def model(name: str, created_s: float) -> bytes:
    """One model. `created_s` is Unix time."""
    return _encode(Model(id=name, created=int(created_s)))


def no_such_model(name: str) -> bytes:
    """The body of the 404 for an unknown model."""
    message = f"The model '{name[:200]}' does not exist"
    return openai_errors.error(ApiError(status=404, code="not_found", message=message, param="model"))
