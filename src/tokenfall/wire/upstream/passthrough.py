"""Inspects passthrough events: type, token bytes, sequence number, errors. Pure."""

from collections.abc import Callable, Iterable, Sequence

from tokenfall.errors import UpstreamMalformed
from tokenfall.events import PassthroughEvent
from tokenfall.wire.sse_decoder import ServerSentEvent
from tokenfall.wire.upstream.chunk import NOT_STANDARD, CallPiece, ChunkChoice, PassthroughChoice, decode_passthrough
from tokenfall.wire.upstream.errors import document_error, error_message, stream_error
from tokenfall.wire.upstream.lenient import Document, is_error_name, lenient_choice, lenient_text, malformed
from tokenfall.wire.upstream.lenient_json import NotJSON, decode_leniently
from tokenfall.wire.upstream.usage import whole_number

_DELTA = ".delta"


def read_passthrough(event: ServerSentEvent, ends: Callable[[str], bool], *, frame: bytes) -> PassthroughEvent | None:
    """The event to forward, None for one without data; data that is not JSON is forwarded, too.

    `frame` is the event as received, if that is only one `data:` line. A standard chunk can be sent in this form.
    `ends` is true for the types of events that end the stream. Raises `UpstreamStreamError` for an error in any form
    unless its type ends the stream, `UpstreamMalformed` for a JSON document without `data:`.
    """
    try:
        found = decode_passthrough(event.data)
    except NOT_STANDARD:
        return _read_leniently(event, ends)
    if is_error_name(event.name) or not event.framed or found.object == "error" or found.type == "error":
        return _read_leniently(event, ends)
    if found.choices:
        size, is_token = _output_size(found.choices)
    elif not (found.type or found.object):
        return _read_leniently(event, ends)
    else:
        size = _bytes_of(found.delta) if found.type.endswith(_DELTA) else 0
        is_token = size > 0
    if not found.choices or found.type:
        frame = b""
    data = event.data if frame else _one_line(event.data)
    return PassthroughEvent(data, is_token, found.type, size, found.sequence_number, frame)


def _read_leniently(event: ServerSentEvent, ends: Callable[[str], bool]) -> PassthroughEvent | None:
    is_error = is_error_name(event.name)
    if not event.data.strip() and not is_error:
        return None
    try:
        document = decode_leniently(event.data)
    except NotJSON:
        if is_error:
            raise stream_error(error_message(event.data.decode(errors="replace"))) from None
        return PassthroughEvent(_valid_line(event.data), is_token=False)
    kind = document.get("type") if isinstance(document, dict) else None
    kind = kind if isinstance(kind, str) and kind.isascii() else ""
    if not (kind and ends(kind)):
        message = document_error(document)
        if message is not None or is_error:
            raise stream_error(error_message(document) if message is None else message)
    if not event.framed:
        raise malformed()
    if not isinstance(document, dict):
        return PassthroughEvent(_valid_line(event.data))
    size, is_token = _output_size_leniently(document, kind)
    number = whole_number(document.get("sequence_number"))
    return PassthroughEvent(_valid_line(event.data), is_token, kind, size, -1 if number is None else number)


def _output_size_leniently(document: Document, kind: str) -> tuple[int, bool]:
    choices = document.get("choices")
    if isinstance(choices, list) and choices:
        try:
            return _output_size([lenient_choice(choice) for choice in choices if isinstance(choice, dict)])
        except UpstreamMalformed:
            return 0, False
    size = _bytes_of(lenient_text(document.get("delta"))) if kind.endswith(_DELTA) else 0
    return size, size > 0


def _output_size(choices: Sequence[ChunkChoice | PassthroughChoice]) -> tuple[int, bool]:
    """Bytes of output in the choices, and whether they have any output; a tool's name counts as output of 0 bytes."""
    size, named = 0, False
    for choice in choices:
        delta = choice.delta
        if choice.text and (delta is None or not delta.content):  # Together repeats the text
            size += _bytes_of(choice.text)
        if delta is None:
            continue
        if delta.content:
            size += _bytes_of(delta.content)
        if delta.reasoning_content or delta.reasoning or delta.reasoning_details or delta.refusal:
            size += _bytes_of(delta.thought()) + _bytes_of(delta.refusal)
        if delta.tool_calls:
            size += _arguments_bytes(delta.tool_calls)
            named = named or any(call.function is not None and call.function.name for call in delta.tool_calls)
    return size, named or size > 0


def _arguments_bytes(calls: Iterable[CallPiece]) -> int:
    return sum(_bytes_of(call.function.arguments) for call in calls if call.function is not None)


def _bytes_of(text: str | None) -> int:
    if not text:
        return 0
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _one_line(data: bytes) -> bytes:
    """`data` in one line: in JSON, a line break is allowed only where a space is."""
    return data.replace(b"\n", b" ")


def _valid_line(data: bytes) -> bytes:
    """`data` in one line, with U+FFFD in place of invalid UTF-8."""
    return _one_line(data.decode(errors="replace").encode())
