"""Responses of `GET /v1/models`, `/v1/models/{id}` and `/v1/messages/count_tokens` in the Anthropic dialect. Pure.

Source: the Claude API reference, "List models", "Get a model" and "Count tokens in a message".
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from tokenfall.wire.anthropic.errors import invalid
from tokenfall.wire.dialect import Count
from tokenfall.wire.times import Timestamp

MAX_LIMIT = 1_000
"""The API's maximum of models in a page, and here also the default."""

_encode = msgspec.json.encode


class TokenCount(Struct, frozen=True):
    input_tokens: Count


class AnthropicModel(Struct, frozen=True, kw_only=True):
    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: Timestamp
    lifecycle: str = "active"


class AnthropicModels(Struct, frozen=True, kw_only=True):
    """A page of models."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


def count(tokens: int) -> bytes:
    """The number of input tokens of a request."""
    return _encode(TokenCount(tokens))


def model(name: str, created_s: float) -> bytes:
    """One model. `created_s` is Unix time."""
    return _encode(_model(name, created_s))


def model_list(names: Sequence[str], created_s: float, *, query: Iterable[tuple[str, str]] = ()) -> bytes:
    """A page of models, all by default. `created_s` is Unix time. Raises `InvalidRequest` for an invalid query.

    `query`: `limit`, and `after_id` or `before_id`. Of a `before_id`, the last `limit` models before it are listed.
    """
    parameters = dict(query)
    limit = _limit(parameters)
    listed, is_before = list(names), "before_id" in parameters
    if parameters.get("after_id") in listed:
        listed = listed[listed.index(parameters["after_id"]) + 1 :]
    if is_before and parameters["before_id"] in listed:
        listed = listed[: listed.index(parameters["before_id"])]
    page = listed[-limit:] if is_before else listed[:limit]
    models = [_model(name, created_s) for name in page]
    first, last = (page[0], page[-1]) if page else (None, None)
    return _encode(AnthropicModels(data=models, has_more=len(page) < len(listed), first_id=first, last_id=last))


def _limit(parameters: dict[str, str]) -> int:
    text = parameters.get("limit", str(MAX_LIMIT))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT):
        raise invalid("limit", f"Input should be an integer between 1 and {MAX_LIMIT}")
    return int(text)


def _model(name: str, created_s: float) -> AnthropicModel:
    created = datetime.fromtimestamp(int(created_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return AnthropicModel(id=name, display_name=name, created_at=created)
