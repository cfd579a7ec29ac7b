"""What is fuzzed: each function takes any bytes, and fails with an AssertionError or the exception that it found."""

from collections.abc import Callable, Iterator
from typing import Any

from tokenfall.errors import InvalidRequest, UpstreamMalformed
from tokenfall.events import Finished
from tokenfall.simulator import grammar
from tokenfall.wire.anthropic import request as anthropic_request
from tokenfall.wire.ollama import embeddings as ollama_embeddings
from tokenfall.wire.ollama import models as ollama_models
from tokenfall.wire.ollama import request as ollama_request
from tokenfall.wire.openai import embeddings
from tokenfall.wire.openai import request as openai_request
from tokenfall.wire.openai.completions import request as completions
from tokenfall.wire.openai.responses import request as responses_request
from tokenfall.wire.plain import chat as plain_chat
from tokenfall.wire.plain import conversations as plain_conversations
from tokenfall.wire.plain.importing import decode_import
from tokenfall.wire.sse_decoder import SSEDecoder
from tokenfall.wire.upstream.reader import ResponseReader

from tests.fuzz import sse_reference

LIMITS = (16, 64, 1_048_576)
"""Bytes of an event that the decoder takes; small ones so that they are met."""

MOST_PIECES = 64
"""Of a stream: the time is for other streams."""


def check_sse(data: bytes) -> None:
    """The decoder reads a stream as the reference does, however it is cut; the reader on it is cut-proof too.

    The first byte chooses the limit, the second the cuts, the rest is the stream.
    """
    if len(data) < 2:
        return
    limit, cut, stream = LIMITS[data[0] % len(LIMITS)], data[1], data[2:]
    if cut:
        stream = stream[: MOST_PIECES * cut]
    _check_decoder(limit, stream, pieces=list(_pieces(stream, cut)))
    whole, cut_up = _read([stream]), _read(_pieces(stream, cut))
    assert whole == cut_up, (whole, cut_up)


def _check_decoder(limit: int, stream: bytes, *, pieces: list[bytes]) -> None:
    expected = sse_reference.read(stream)
    decoder = SSEDecoder(limit)
    found: list[tuple[bytes, bytes]] = []
    try:
        for piece in pieces:
            found += [(event.name, event.data) for event in decoder.feed(piece) if event.framed]
    except UpstreamMalformed:
        assert expected.longest_bytes > limit or expected.has_document, "refused without a reason"
        assert found == expected.events[: len(found)]
        return
    assert found == expected.events, (found, expected.events)
    assert expected.largest_event_bytes <= limit, "more than the limit was taken"


def _pieces(stream: bytes, cut: int) -> Iterator[bytes]:
    """Whole for 0, else in pieces of 1 to 255 bytes, every third of which is followed by an empty read."""
    if cut == 0:
        yield stream
        return
    for number, start in enumerate(range(0, len(stream), cut)):
        yield stream[start : start + cut]
        if number % 3 == 2:
            yield b""


def _read(pieces: "list[bytes] | Iterator[bytes]") -> tuple[list[object], str]:
    """The events of a response up to its end, and the code of what broke it, "" where nothing did.

    As its callers do, it feeds the reader no more after `Finished`.
    """
    reader = ResponseReader()
    events: list[object] = []
    for piece in pieces:
        events += reader.feed(piece)
        if reader.broken is not None:
            return events, reader.broken.code
        if events and isinstance(events[-1], Finished):
            break
    return events, ""


# Requests


def _simulation(body: bytes) -> object:
    return grammar.parse(body.decode("utf-8", "replace"))


DECODERS: tuple[Callable[[bytes], Any], ...] = (
    plain_chat.decode_chat,
    plain_conversations.decode_conversation,
    openai_request.decode,
    lambda body: openai_request.decode(body, groq=True),
    completions.decode,
    embeddings.decode,
    responses_request.decode,
    anthropic_request.decode,
    anthropic_request.decode_count,
    ollama_request.decode_chat,
    ollama_request.decode_generate,
    ollama_embeddings.decode_embed,
    ollama_embeddings.decode_embeddings,
    ollama_models.decode_show,
    _simulation,
    lambda body: decode_import(body, now_s=1.0, new_id=lambda: "turn_1"),
)


def check_request(data: bytes) -> None:
    """Each decoder returns or raises `InvalidRequest`. The first byte chooses it, the rest is the body."""
    if not data:
        return
    try:
        DECODERS[data[0] % len(DECODERS)](data[1:])
    except InvalidRequest:
        return


TARGETS: dict[str, Callable[[bytes], None]] = {"sse": check_sse, "requests": check_request}
