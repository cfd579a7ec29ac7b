"""Log probabilities for simulated tokens: made up, but always the same for the same token. Pure.

Source: the OpenAI API reference, `choices[].logprobs.content`.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from tokenfall.errors import InvalidRequest

ALTERNATIVES = (" the", " a", " and", " of", " to", " in", " is", " it", " that", " for", " on", " as", " with", " by",
                " at", " an", " be", " this", " or", " so")  # fmt: skip


MAX_TOLD = 2**17
"""Log probabilities in a whole response, alternatives among them: some ten megabytes of JSON."""


def logprobs(tokens: Sequence[str], top: int) -> dict[str, Any]:
    """What is told of `tokens`, each with its `top` likeliest alternatives, itself among them."""
    return {"content": [_token(token, top) for token in tokens], "refusal": None}


def logprobs_lazily(tokens: Sequence[str], top: int) -> dict[str, Any]:
    """The same with an iterator in place of the list, for `json_pieces`: a token takes up to 50 microseconds."""
    return {"content": (_token(token, top) for token in tokens), "refusal": None}


def check_size(tokens: int, top: int) -> None:
    """Raises `InvalidRequest` where a whole response would tell of too many tokens and alternatives."""
    if tokens * (1 + top) > MAX_TOLD:
        raise InvalidRequest(
            f"a whole response tells of at most {MAX_TOLD} log probabilities, and {tokens} tokens with {top} "
            "alternatives each have more: ask for fewer tokens, or for a stream",
            param="logprobs",
        )


def logprob_of(token: str) -> float:
    """Between -1 and 0."""
    return -(crc32(token.encode("utf-8", "surrogatepass")) % 10_000) / 10_000


def _token(token: str, top: int) -> dict[str, Any]:
    likeliest = [token, *(other for other in ALTERNATIVES if other != token)][:top]
    told = _one(token, logprob_of(token))
    told["top_logprobs"] = [_one(each, logprob_of(token) - 1.0 * place) for place, each in enumerate(likeliest)]
    return told


def _one(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "surrogatepass"))}
