"""Responses of `GET /v1/models`, `/v1/models/{id}` and `/v1/messages/count_tokens` in the Anthropic dialect. Pure.

Source: the Claude API reference, "List models", "Get a model" and "Count tokens in a message".
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

_encode = msgspec.json.encode


def count(tokens: int) -> bytes:
    """The number of input tokens of a request."""
    return _encode({"input_tokens": tokens})


def model(name: str, created_s: float) -> bytes:
    """One model. `created_s` is Unix time."""
    return _encode(_document(name, created_s))


def model_list(names: Sequence[str], created_s: float) -> bytes:
    """All models, as a single page. `created_s` is Unix time."""
    page = {
        "data": [_document(name, created_s) for name in names],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }
    return _encode(page)


def _document(name: str, created_s: float) -> dict[str, Any]:
    created = datetime.fromtimestamp(int(created_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": name, "display_name": name, "created_at": created, "lifecycle": "active"}
