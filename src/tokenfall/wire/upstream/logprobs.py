"""Decodes a provider's log probabilities and encodes them in the form that OpenAI and Ollama share. Pure.

Source: the OpenAI API reference, `choices[].logprobs.content`; Ollama's Go types `api.Logprob` and `api.TokenLogprob`.
Some providers send parallel lists instead (`tokens`, `token_logprobs`), as the legacy completions API does.
"""

from math import isnan
from typing import Any

import msgspec
from msgspec import Struct

from tokenfall.wire.upstream.surrogates import without_surrogates

_MAX_ALTERNATIVES = 20
_LEAST = -9999.0
"""OpenAI's value for tokens that are very unlikely; some providers send -Infinity."""


class TokenLogprob(Struct, gc=False, omit_defaults=True):
    """A token; an alternative has no alternatives itself."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: "list[TokenLogprob] | None" = None


class ChoiceLogprobs(Struct, gc=False):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None
    tokens: None = None


def encoded(logprobs: ChoiceLogprobs) -> bytes:
    """The elements of an array as JSON, separated by commas; b"" without any."""
    return msgspec.json.encode([*(logprobs.content or ()), *(logprobs.refusal or ())])[1:-1]


def lenient_logprobs(value: object) -> ChoiceLogprobs | None:
    """The log probabilities in any known form, None without any; tokens without a number are skipped."""
    if not isinstance(value, dict):
        return None
    found = [*_tokens(value.get("content")), *_tokens(value.get("refusal"))] or _parallel(value)
    return ChoiceLogprobs(found) if found else None


def _tokens(items: object) -> list[TokenLogprob]:
    return [found for item in items if (found := _token(item)) is not None] if isinstance(items, list) else []


def _token(item: object) -> TokenLogprob | None:
    if not isinstance(item, dict):
        return None
    found = _scored(item.get("token"), item.get("logprob"))
    if found is None:
        return None
    data = item.get("bytes")
    if isinstance(data, list) and all(type(each) is int for each in data):
        found.bytes = data
    alternatives = item.get("top_logprobs")
    if isinstance(alternatives, list):
        found.top_logprobs = _tokens(alternatives[:_MAX_ALTERNATIVES]) or None
    elif isinstance(alternatives, dict):
        found.top_logprobs = _alternatives(alternatives)
    return found


def _scored(token: object, logprob: object) -> TokenLogprob | None:
    if not isinstance(token, str) or not isinstance(logprob, int | float) or isinstance(logprob, bool):
        return None
    return None if isnan(logprob) else TokenLogprob(without_surrogates(token), max(float(logprob), _LEAST))


def _alternatives(scores: dict[str, Any]) -> list[TokenLogprob] | None:
    pairs = list(scores.items())[:_MAX_ALTERNATIVES]
    return [found for token, logprob in pairs if (found := _scored(token, logprob)) is not None] or None


def _parallel(value: dict[str, Any]) -> list[TokenLogprob]:
    """Parallel lists of tokens, of numbers and of dictionaries of alternatives."""
    tokens, logprobs, tops = value.get("tokens"), value.get("token_logprobs"), value.get("top_logprobs")
    if not isinstance(tokens, list) or not isinstance(logprobs, list):
        return []
    listed = tops if isinstance(tops, list) and len(tops) == len(tokens) else [None] * len(tokens)
    items = zip(tokens, logprobs, listed, strict=False)
    read = (_token({"token": token, "logprob": logprob, "top_logprobs": top}) for token, logprob, top in items)
    return [found for found in read if found is not None]
