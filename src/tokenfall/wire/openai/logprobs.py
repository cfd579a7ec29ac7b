"""Invented log probabilities for simulated tokens; a token always has the same value. Pure.

Source: the OpenAI API reference, `choices[].logprobs.content`.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from tokenfall.errors import InvalidRequest

ALTERNATIVES = (" the", " a", " and", " of", " to", " in", " is", " it", " that", " for", " on", " as", " with", " by",
                " at", " an", " be", " this", " or", " so")  # fmt: skip


MAX_LOGPROBS = 2**17
"""Limit for the log probabilities of a complete response, including alternatives: some ten megabytes of JSON."""


def logprobs(tokens: Sequence[str], top: int) -> dict[str, Any]:
    """The `logprobs` document of `tokens`. The `top` most likely alternatives of a token include the token itself."""
    return {"content": [_token(token, top) for token in tokens], "refusal": None}


def logprobs_lazily(tokens: Sequence[str], top: int) -> dict[str, Any]:
    """As `logprobs`, with an iterator in place of the list, for `json_pieces`: a token takes up to 50 microseconds."""
    return {"content": (_token(token, top) for token in tokens), "refusal": None}


def check_size(tokens: int, top: int) -> None:
    """Raise `InvalidRequest` if a complete response would have too many log probabilities."""
    if tokens * (1 + top) > MAX_LOGPROBS:
        raise InvalidRequest(
            f"a complete response has at most {MAX_LOGPROBS} log probabilities, and {tokens} tokens with {top} "
            "alternatives each exceed that: request fewer tokens, or a stream",
            param="logprobs",
        )


def logprob_of(token: str) -> float:
    """Between -1 and 0."""
    return -(crc32(token.encode("utf-8", "surrogatepass")) % 10_000) / 10_000


def _token(token: str, top: int) -> dict[str, Any]:
    most_likely = [token, *(other for other in ALTERNATIVES if other != token)][:top]
    document = _one(token, logprob_of(token))
    document["top_logprobs"] = [_one(each, logprob_of(token) - 1.0 * rank) for rank, each in enumerate(most_likely)]
    return document


def _one(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "surrogatepass"))}
