"""The fuzzing targets: functions of arbitrary bytes that raise an AssertionError or an undocumented exception."""

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
"""Event size limits of the decoder, in bytes; small ones, so that inputs exceed them."""

MAX_CHUNKS = 64
"""The maximum number of chunks of a stream, to save time for other inputs."""


def check_sse(data: bytes) -> None:
    """For any chunking, the SSE decoder agrees with the reference, and the response reader returns the same result.

    The first byte selects the size limit, the second the chunk size, the rest is the stream.
    """
    if len(data) < 2:
        return
    limit, chunk_size, stream = LIMITS[data[0] % len(LIMITS)], data[1], data[2:]
    if chunk_size:
        stream = stream[: MAX_CHUNKS * chunk_size]
    _check_decoder(limit, stream, chunks=list(_chunks(stream, chunk_size)))
    whole, chunked = _read([stream]), _read(_chunks(stream, chunk_size))
    assert whole == chunked, (whole, chunked)


def _check_decoder(limit: int, stream: bytes, *, chunks: list[bytes]) -> None:
    expected = sse_reference.parse(stream)
    decoder = SSEDecoder(limit)
    found: list[tuple[bytes, bytes]] = []
    try:
        for chunk in chunks:
            found += [(event.name, event.data) for event in decoder.feed(chunk) if event.framed]
    except UpstreamMalformed:
        mark = sse_reference.BYTE_ORDER_MARK
        mark_bytes = len(mark) if stream.startswith(mark) else 0  # counts as part of a line that is buffered
        assert expected.longest_bytes + mark_bytes > limit or expected.has_document, "rejected a valid stream"
        assert found == expected.events[: len(found)]
        return
    assert found == expected.events, (found, expected.events)
    assert expected.largest_event_bytes <= limit, "accepted an event over the limit"


def _chunks(stream: bytes, size: int) -> Iterator[bytes]:
    """The stream in chunks of `size` bytes, with an empty chunk after every third; undivided if `size` is 0."""
    if size == 0:
        yield stream
        return
    for number, start in enumerate(range(0, len(stream), size)):
        yield stream[start : start + size]
        if number % 3 == 2:
            yield b""


def _read(chunks: "list[bytes] | Iterator[bytes]") -> tuple[list[object], str]:
    """The events of a response up to its end, and the error code, "" if there is no error.

    Like the callers of `ResponseReader`, it stops feeding after `Finished`.
    """
    reader = ResponseReader()
    events: list[object] = []
    for chunk in chunks:
        events += reader.feed(chunk)
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
    """A decoder returns or raises `InvalidRequest`. The first byte selects the decoder, the rest is the body."""
    if not data:
        return
    try:
        DECODERS[data[0] % len(DECODERS)](data[1:])
    except InvalidRequest:
        return


TARGETS: dict[str, Callable[[bytes], None]] = {"sse": check_sse, "requests": check_request}
