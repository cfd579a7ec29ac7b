"""A timing profile out of a recording. Pure.

The time to the first token and the time between two are measured at the events that carry text. Tokens that came in
one read have no time between them: that is how they came.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from tokenfall.errors import UpstreamMalformed
from tokenfall.recording.empirical import Empirical, quantiles
from tokenfall.recording.recordings import Answer, Recording
from tokenfall.wire.sse import CONTENT_TYPE
from tokenfall.wire.sse_decoder import SSEDecoder


class NothingToFit(ValueError):
    """A recording with too little in it; the message says what is missing."""


def fit(recording: Recording) -> Empirical:
    """The profile of all streams that were answered, those that were cut short too. Raises `NothingToFit`."""
    times = [list(_token_times(answer)) for answer in _streams(recording)]
    if not times:
        raise NothingToFit('it holds no answered stream: ask with "stream": true while it is recorded')
    ttfts = [each[0] for each in times if each]
    gaps = [later - earlier for each in times for earlier, later in pairwise(each)]
    if not ttfts:
        raise NothingToFit(f"none of its {len(times)} streams has a token")
    if not gaps:
        raise NothingToFit(f"none of its {len(times)} streams has two tokens, so that none has a gap between them")
    return Empirical(quantiles(ttfts), quantiles(gaps))


def _streams(recording: Recording) -> Iterator[Answer]:
    answers = (exchange.answer for exchange in recording.exchanges if exchange.answer is not None)
    return (each for each in answers if each.status == 200 and each.streamed and _is_sse(each))


def _is_sse(answer: Answer) -> bool:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower() == CONTENT_TYPE


def _token_times(answer: Answer) -> Iterator[float]:
    """When each token came; up to where the stream cannot be read."""
    decoder = SSEDecoder()
    for chunk in answer.chunks:
        try:
            events = decoder.feed(chunk.payload())
        except UpstreamMalformed:
            return
        for event in events:
            if says_something(event.data):
                yield chunk.at_s


def says_something(event: bytes) -> bool:
    """Whether an event's data carries a token: text, thought or a part of a tool call, in any of the dialects."""
    try:
        document = msgspec.json.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    kind = document.get("type")
    if isinstance(kind, str):  # Anthropic, Responses
        return kind == "content_block_delta" or kind.endswith(".delta")
    choices = document.get("choices")
    return any(map(_choice_says, choices if isinstance(choices, list) else []))


def _choice_says(choice: Any) -> bool:  # noqa: ANN401 - any JSON
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta")
    said = delta if isinstance(delta, dict) else choice
    return any(said.get(name) for name in ("content", "text", "reasoning", "reasoning_content", "tool_calls"))
