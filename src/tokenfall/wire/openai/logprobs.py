"""Log probabilities for simulated tokens; a token always has the same value. Pure.

Source: the OpenAI API reference, `choices[].logprobs.content`.
"""

from collections.abc import Sequence
from typing import Annotated, cast
from zlib import crc32

from msgspec import UNSET, Meta, Struct, UnsetType

from tokenfall.errors import InvalidRequest

ALTERNATIVES = (" the", " a", " and", " of", " to", " in", " is", " it", " that", " for", " on", " as", " with", " by",
                " at", " an", " be", " this", " or", " so")  # fmt: skip


MAX_LOGPROBS = 2**17
"""Limit for the log probabilities of a complete response, including alternatives: some ten megabytes of JSON."""


class TokenLogprob(Struct, frozen=True):
    """A token with its log probability. An alternative has no alternatives itself."""

    token: str
    logprob: float
    bytes: list[Annotated[int, Meta(ge=0, le=255)]]
    top_logprobs: "list[TokenLogprob] | UnsetType" = UNSET


class ChatLogprobs(Struct, frozen=True):
    content: list[TokenLogprob]
    refusal: None = None


def logprobs(tokens: Sequence[str], top: int) -> ChatLogprobs:
    """The log probabilities of `tokens`. The `top` most likely alternatives of a token include the token itself."""
    return ChatLogprobs([_token(token, top) for token in tokens])


def logprobs_lazily(tokens: Sequence[str], top: int) -> ChatLogprobs:
    """As `logprobs`, with an iterator in place of the list, for `json_pieces`: a token takes up to 50 microseconds."""
    return ChatLogprobs(cast("list[TokenLogprob]", (_token(token, top) for token in tokens)))


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


def _token(token: str, top: int) -> TokenLogprob:
    most_likely = [token, *(other for other in ALTERNATIVES if other != token)][:top]
    alternatives = [
        TokenLogprob(each, logprob_of(token) - 1.0 * rank, _bytes(each)) for rank, each in enumerate(most_likely)
    ]
    return TokenLogprob(token, logprob_of(token), _bytes(token), alternatives)


def _bytes(token: str) -> list[int]:
    return list(token.encode("utf-8", "surrogatepass"))
