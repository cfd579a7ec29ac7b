"""Responses of `GET /v1/models`, `/v1/models/{id}` and `/v1/messages/count_tokens` in the Anthropic dialect. Pure.

Source: the Claude API reference, "List models", "Get a model" and "Count tokens in a message".
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from tokenfall.wire.dialect import Count
from tokenfall.wire.times import Timestamp

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
    """A page of models. There is only one page."""

    data: list[AnthropicModel]
    has_more: Literal[False] = False
    first_id: str | None
    last_id: str | None


def count(tokens: int) -> bytes:
    """The number of input tokens of a request."""
    return _encode(TokenCount(tokens))


def model(name: str, created_s: float) -> bytes:
    """One model. `created_s` is Unix time."""
    return _encode(_model(name, created_s))


def model_list(names: Sequence[str], created_s: float) -> bytes:
    """All models, as a single page. `created_s` is Unix time."""
    models = [_model(name, created_s) for name in names]
    first, last = (names[0], names[-1]) if names else (None, None)
    return _encode(AnthropicModels(data=models, first_id=first, last_id=last))


def _model(name: str, created_s: float) -> AnthropicModel:
    created = datetime.fromtimestamp(int(created_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return AnthropicModel(id=name, display_name=name, created_at=created)
