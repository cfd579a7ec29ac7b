"""Log probabilities of legacy completions. Pure.

Source: the OpenAI API reference, "The completion object", `logprobs`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, islice
from typing import Any, cast

from msgspec import Struct

from tokenfall.tokens import count_tokens, token_slices
from tokenfall.wire.dialect import Count
from tokenfall.wire.openai.logprobs import ALTERNATIVES, logprob_of


class TextLogprobs(Struct, frozen=True, kw_only=True):
    """The log probabilities of a text. An echoed prompt's first token has none."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[Count]


class CompletionLogprobs:
    """Builds the `logprobs` documents of one choice. Text offsets count characters from the start of its text."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._offset = 0

    def document(self, tokens: Sequence[str], *, first: bool = False) -> TextLogprobs:
        """The document of the next `tokens`. With `first`, for a prompt: its first token has no log probability."""
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token)
        token_logprobs: list[float | None] = [logprob_of(token) for token in tokens]
        top_logprobs: list[dict[str, float] | None] = [_alternatives(token, self._top) for token in tokens]
        if first and tokens:
            token_logprobs[0] = top_logprobs[0] = None
        return TextLogprobs(
            tokens=list(tokens),
            token_logprobs=token_logprobs,
            top_logprobs=top_logprobs if self._top else None,
            text_offset=offsets,
        )


def _alternatives(token: str, top: int) -> dict[str, float]:
    most_likely = [token, *(other for other in ALTERNATIVES[:top] if other != token)][:top]
    return {each: logprob_of(token) - 1.0 * rank for rank, each in enumerate(most_likely)}


def logprobs_lazily(echo: str, response_tokens: Sequence[str], *, top: int) -> TextLogprobs:
    """As `CompletionLogprobs.document` for the prompt and the response tokens, with iterators for lists, for
    `json_pieces`.
    """

    def tokens() -> Iterator[str]:
        return chain(chain.from_iterable(token_slices(echo)), response_tokens)

    def each(read: Callable[[str], Any]) -> Any:  # noqa: ANN401 - an iterator in place of a list
        values = map(read, tokens())
        return chain((None,), islice(values, 1, None)) if echo.strip() else values

    offsets = islice(accumulate(map(len, tokens()), initial=0), count_tokens(echo) + len(response_tokens))
    return TextLogprobs(
        tokens=cast("list[str]", tokens()),
        token_logprobs=each(logprob_of),
        top_logprobs=each(partial(_alternatives, top=top)) if top else None,
        text_offset=cast("list[int]", offsets),
    )
