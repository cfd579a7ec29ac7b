"""The members of a request to `POST /v1/responses` that its response repeats. Pure.

Called by `request`; read by `document` and `stream`. Must not depend on the messages of the request.
"""

from sys import getsizeof
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tokenfall.wire.dialect import decoded
from tokenfall.wire.openai.responses.body import Reasoning, ResponsesBody

_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"


class ResponsesOptions(Struct, frozen=True, kw_only=True):
    """`repeated` are the members of `ResponsesResponse` that repeat the request; schemas in them are original JSON."""

    repeated: dict[str, Any]
    encrypted: bool = False
    """Whether reasoning items have `encrypted_content`."""
    logprobs: bool = False
    """Whether texts have log probabilities, with `top_logprobs` alternatives. In a stream, only deltas have them."""
    top_logprobs: int = 0


class _RepeatedText(Struct):
    format: Raw = msgspec.field(default_factory=Raw)
    verbosity: str | None = None


class _Repeated(Struct):
    """Request members that a response repeats as original JSON: schemas in them are not decoded."""

    tools: list[Raw] | None = None
    tool_choice: Raw = msgspec.field(default_factory=Raw)
    text: _RepeatedText | None = None


_decoder = msgspec.json.Decoder(_Repeated)


def options_of(body: ResponsesBody, encoded: bytes) -> ResponsesOptions:
    """The options of a request; `encoded` is its body, `body` the same decoded."""
    repeated = decoded(_decoder, encoded)
    text = repeated.text or _RepeatedText()
    members = {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "reasoning": body.reasoning or Reasoning(),
        "store": body.store is not False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {"format": _raw_or_none(text.format) or {"type": "text"}, "verbosity": text.verbosity or "medium"},
        "tool_choice": _raw_or_none(repeated.tool_choice) or "auto",
        "tools": [tool.copy() for tool in repeated.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": body.truncation or "disabled",
        "service_tier": "default" if body.service_tier in (None, "auto") else body.service_tier,
        "user": body.user,
        "safety_identifier": body.safety_identifier,
        "prompt_cache_key": body.prompt_cache_key,
    }
    return ResponsesOptions(
        repeated=members,
        encrypted=_ENCRYPTED in (body.include or ()),
        logprobs=_LOGPROBS in (body.include or ()),
        top_logprobs=body.top_logprobs or 0,
    )


def _raw_or_none(raw: Raw) -> Raw | None:
    """A copy of `raw`, which refers to the whole body."""
    return raw.copy() if bytes(raw) not in (b"", b"null") else None


def repeated_bytes(options: ResponsesOptions) -> int:
    """Memory of the texts and the JSON that a response repeats."""
    members = options.repeated
    texts = (members["instructions"] or "", *members["metadata"].values())
    raws = (*members["tools"], members["tool_choice"], members["text"]["format"])
    return sum(map(getsizeof, texts)) + sum(len(bytes(raw)) for raw in raws if isinstance(raw, Raw))
