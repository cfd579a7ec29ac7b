"""Computes a timing profile from a recording. Pure.

The time to first token and the gaps between tokens are measured at the events that carry output. Tokens that arrived in
one read have a gap of 0.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from tokenfall.errors import UpstreamMalformed
from tokenfall.recording.empirical import Empirical, quantiles
from tokenfall.recording.recordings import RecordedResponse, Recording
from tokenfall.wire.sse import CONTENT_TYPE
from tokenfall.wire.sse_decoder import SSEDecoder


class InsufficientData(ValueError):
    """A recording without enough data; the message names what is missing."""


def fit(recording: Recording) -> Empirical:
    """The profile of all streams with status 200, including interrupted ones. Raises `InsufficientData`."""
    times = [list(_token_times(response)) for response in _streams(recording)]
    if not times:
        raise InsufficientData('it has no stream with status 200: send requests with "stream": true while recording')
    ttfts = [each[0] for each in times if each]
    gaps = [later - earlier for each in times for earlier, later in pairwise(each)]
    if not ttfts:
        raise InsufficientData(f"none of its {len(times)} streams has a token")
    if not gaps:
        raise InsufficientData(f"none of its {len(times)} streams has two tokens, so there is no gap to measure")
    return Empirical(quantiles(ttfts), quantiles(gaps))


def _streams(recording: Recording) -> Iterator[RecordedResponse]:
    responses = (exchange.answer for exchange in recording.exchanges if exchange.answer is not None)
    return (each for each in responses if each.status == 200 and each.streamed and _is_sse(each))


def _is_sse(response: RecordedResponse) -> bool:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() == CONTENT_TYPE


def _token_times(response: RecordedResponse) -> Iterator[float]:
    """The arrival time of each token, up to the first malformed event."""
    decoder = SSEDecoder()
    for chunk in response.chunks:
        try:
            events = decoder.feed(chunk.payload())
        except UpstreamMalformed:
            return
        for event in events:
            if is_token(event.data):
                yield chunk.at_s


def is_token(event: bytes) -> bool:
    """Whether an event's data has output (text, reasoning or part of a tool call), in any of the SSE dialects."""
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
    return any(map(_has_output, choices if isinstance(choices, list) else []))


def _has_output(choice: Any) -> bool:  # noqa: ANN401 - any JSON
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta")
    members = delta if isinstance(delta, dict) else choice
    return any(members.get(name) for name in ("content", "text", "reasoning", "reasoning_content", "tool_calls"))
