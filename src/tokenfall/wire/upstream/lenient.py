"""Lenient decoding of non-standard chunks into the same `CompletionChunk`, for every known deviation. Pure.

Null means absent at every level. Numbers may be floats or strings, text may be a list of parts, `message` or `text` may
replace `delta`, arguments may be an object, usage may be in a choice or in `x_groq`.
"""

from collections.abc import Iterator
from typing import Any

from tokenfall.errors import UpstreamMalformed
from tokenfall.wire.sse_decoder import ServerSentEvent
from tokenfall.wire.upstream.chunk import CalledFunctionDelta, CallPiece, ChunkChoice, ChunkDelta, CompletionChunk
from tokenfall.wire.upstream.errors import document_error, error_message, stream_error
from tokenfall.wire.upstream.lenient_json import NotJSON, compact_json, decode_leniently
from tokenfall.wire.upstream.logprobs import lenient_logprobs
from tokenfall.wire.upstream.surrogates import without_surrogates
from tokenfall.wire.upstream.thought_tags import is_thought
from tokenfall.wire.upstream.usage import whole_number

Document = dict[str, Any]
_ERROR_NAMES = (b"error", b"exception")


def is_error_name(name: bytes) -> bool:
    """Whether an event of this name reports an error, regardless of its data: `error`, `internalServerException`."""
    return name != b"" and any(word in name.lower() for word in _ERROR_NAMES)


def read_document(event: ServerSentEvent) -> Document | None:
    """The JSON object of an event, None for an empty event.

    Raises `UpstreamStreamError` for an error in any form, `UpstreamMalformed` if the data is not a JSON object.
    """
    is_error = is_error_name(event.name)
    try:
        document = decode_leniently(event.data) if event.data.strip() else None
    except NotJSON:
        if is_error:
            raise stream_error(error_message(event.data.decode(errors="replace"))) from None
        raise malformed() from None
    message = document_error(document)
    if message is None and is_error:
        message = error_message(document)
    if message is not None:
        raise stream_error(message)
    if document is None:
        return None
    if not isinstance(document, dict) or not event.framed:
        raise malformed()
    return document


def malformed() -> UpstreamMalformed:
    return UpstreamMalformed("the upstream sent an event that is not a valid chunk")


def lenient_chunk(document: Document, *, after_deltas: bool = False) -> CompletionChunk:
    """Raises `UpstreamMalformed`.

    `after_deltas`: earlier chunks had deltas, so a complete `message` repeats them and is skipped.
    """
    choices = document.get("choices")
    if not isinstance(choices, list | dict | None):
        raise malformed()
    listed = [choice for choice in _listed(choices) if isinstance(choice, dict)]
    usage = next(_usages(document, listed), None)
    if after_deltas:
        listed = [{name: value for name, value in choice.items() if name != "message"} for choice in listed]
    return CompletionChunk([lenient_choice(choice) for choice in listed], _name(document.get("model")), usage)


def has_message(document: Document) -> bool:
    """Whether a choice has a `message` in place of a delta."""
    choices = (choice for choice in _listed(document.get("choices")) if isinstance(choice, dict))
    return any(choice.get("delta") is None and choice.get("message") is not None for choice in choices)


def _usages(document: Document, choices: list[Any]) -> Iterator[Document]:
    for holder in (document, document.get("x_groq"), *choices, document.get("message")):
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict) and usage:
            yield usage


def lenient_choice(choice: Document) -> ChunkChoice:
    delta = choice.get("delta")
    if delta is None:
        delta = choice.get("message")
    if delta is None:
        delta = {"content": choice.get("text")}
    return ChunkChoice(
        lenient_delta(delta if isinstance(delta, dict) else {"content": delta}),
        whole_number(choice.get("index")),
        lenient_text(choice.get("finish_reason")) or None,
        _stop(choice.get("stop_reason")),
        _stop(choice.get("matched_stop")),
        lenient_logprobs(choice.get("logprobs")),
    )


_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "reasoning_details")


def lenient_delta(delta: Document) -> ChunkDelta:
    texts = dict(_parts(delta.get("content"), "thought" if is_thought(delta) else "text"))
    reasoning_texts = (delta.get(name) for name in _REASONING)
    thought = next(filter(None, ("".join(text for _, text in _parts(each, "thought")) for each in reasoning_texts)), "")
    calls = [_call(each) for each in _listed(delta.get("tool_calls")) if isinstance(each, dict)]
    called = delta.get("function_call")
    if isinstance(called, dict):
        calls.append(_call({"function": called}))
    refusal = "".join(text for _, text in _parts(delta.get("refusal"), "refusal"))
    return ChunkDelta(
        content=texts.get("text"),
        reasoning_content=thought + texts.get("thought", ""),
        refusal=refusal + texts.get("refusal", ""),
        tool_calls=calls or None,
    )


_PART_KINDS = {
    "thinking": "thought",
    "reasoning": "thought",
    "reasoning.text": "thought",
    "reasoning.summary": "thought",
    "summary_text": "thought",
    "refusal": "refusal",
}
_PART_TEXTS = ("text", "thinking", "reasoning", "refusal", "content", "summary")


def _parts(content: object, kind: str) -> Iterator[tuple[str, str]]:
    """Pairs of kind and joined text, from a string, a part or a list of parts; `kind` is the default."""
    gathered: dict[str, list[str]] = {}
    for part in _listed(content):
        if isinstance(part, dict):
            type_ = part.get("type")
            found = _PART_KINDS.get(type_, kind) if isinstance(type_, str) else kind
            gathered.setdefault(found, []).append(_part_text(part, 0))
        else:
            gathered.setdefault(kind, []).append(lenient_text(part))
    return ((each, "".join(texts)) for each, texts in gathered.items())


def _part_text(part: object, depth: int) -> str:
    """The text of one part; in Mistral's thinking parts it is a list of text parts."""
    if not isinstance(part, dict):
        return lenient_text(part)
    text = next((part[name] for name in _PART_TEXTS if part.get(name) is not None), None)
    if depth == 2:
        return lenient_text(text)
    return "".join(_part_text(each, depth + 1) for each in _listed(text))


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _call(piece: Document) -> CallPiece:
    function = piece.get("function")
    if not isinstance(function, dict):
        function = piece.get("custom")
    if not isinstance(function, dict):
        function = piece
    arguments = function.get("arguments")
    if arguments is None:
        arguments = function.get("input")
    called = CalledFunctionDelta(_name(function.get("name")), _arguments(arguments))
    extra = piece.get("extra_content")
    return CallPiece(
        whole_number(piece.get("index")),
        _name(piece.get("id")),
        called,
        extra_content=extra if isinstance(extra, dict) else None,
    )


def _arguments(arguments: object) -> str:
    if isinstance(arguments, dict | list):
        try:
            return compact_json(arguments)
        except NotJSON:
            raise malformed() from None
    return lenient_text(arguments)


def lenient_text(value: object) -> str:
    """A string, or a number converted to one; "" for everything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _stop(value: object) -> str | None:
    return without_surrogates(value) if isinstance(value, str) else None


def _name(value: object) -> str:
    """A name; never split between chunks, so surrogate halves are replaced at once."""
    return without_surrogates(lenient_text(value))
