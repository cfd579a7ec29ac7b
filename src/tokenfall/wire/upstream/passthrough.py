"""Events that are passed through: what must be known of each. Pure."""

from collections.abc import Callable, Iterable, Sequence

from tokenfall.errors import UpstreamMalformed
from tokenfall.events import PassthroughEvent
from tokenfall.wire.sse_decoder import ServerSentEvent
from tokenfall.wire.upstream.chunk import NOT_ORDINARY, CallPiece, ChunkChoice, PassthroughChoice, decode_passed
from tokenfall.wire.upstream.errors import document_error, error_words, stream_error
from tokenfall.wire.upstream.lenient import ERROR, Document, lenient_choice, lenient_text, malformed
from tokenfall.wire.upstream.lenient_json import NotJSON, decode_leniently
from tokenfall.wire.upstream.usage import whole_number

_DELTA = ".delta"


def read_passed(event: ServerSentEvent, ends: Callable[[str], bool]) -> PassthroughEvent | None:
    """An event as it goes on, None for one without data; what is not JSON goes on too.

    Raises `UpstreamStreamError` for an error in any form that is no end, `UpstreamMalformed` for a document that is no
    event.
    """
    try:
        found = decode_passed(event.data)
    except NOT_ORDINARY:
        return _read_odd(event, ends)
    if event.name == ERROR or not event.framed or found.object == "error" or found.type == "error":
        return _read_odd(event, ends)
    if found.choices:
        size, says = _said(found.choices)
    else:
        size = _bytes_of(found.delta) if found.type.endswith(_DELTA) else 0
        says = size > 0
    return PassthroughEvent(_one_line(event.data), says, found.type, size, found.sequence_number)


def _read_odd(event: ServerSentEvent, ends: Callable[[str], bool]) -> PassthroughEvent | None:
    is_error = event.name == ERROR
    if not event.data.strip() and not is_error:
        return None
    try:
        document = decode_leniently(event.data)
    except NotJSON:
        if is_error:
            raise stream_error(error_words(event.data.decode(errors="replace"))) from None
        return PassthroughEvent(_one_line(event.data), is_token=False)
    kind = document.get("type") if isinstance(document, dict) else None
    kind = kind if isinstance(kind, str) and kind.isascii() else ""
    if not (kind and ends(kind)):
        words = document_error(document)
        if words is not None or is_error:
            raise stream_error(error_words(document) if words is None else words)
    if not event.framed:
        raise malformed()
    if not isinstance(document, dict):
        return PassthroughEvent(_one_line(event.data))
    size, says = _said_leniently(document, kind)
    number = whole_number(document.get("sequence_number"))
    return PassthroughEvent(_one_line(event.data), says, kind, size, -1 if number is None else number)


def _said_leniently(document: Document, kind: str) -> tuple[int, bool]:
    choices = document.get("choices")
    if isinstance(choices, list) and choices:
        try:
            return _said([lenient_choice(choice) for choice in choices if isinstance(choice, dict)])
        except UpstreamMalformed:
            return 0, False
    size = _bytes_of(lenient_text(document.get("delta"))) if kind.endswith(_DELTA) else 0
    return size, size > 0


def _said(choices: Sequence[ChunkChoice | PassthroughChoice]) -> tuple[int, bool]:
    """Bytes of what the choices say, and whether they say anything: the name of a tool is something too."""
    size, named = 0, False
    for choice in choices:
        delta = choice.delta
        if choice.text:
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
    """In JSON a line ends only where a space may stand."""
    return data.replace(b"\n", b" ")
