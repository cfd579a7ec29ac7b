"""Encodes or accumulates the events that `tokenfall.wire.event_normalizer` emits, for any dialect. Pure."""

from collections.abc import Callable

import msgspec

from tokenfall.events import Finished, OutputEvent, TextDelta, ToolCallDelta
from tokenfall.messages import ToolCall
from tokenfall.utf8 import TextBuffer
from tokenfall.wire.dialect import BlockKind, ContentBlock, Encoder, ResponseChoice, ResponseTiming
from tokenfall.wire.json_lines import one_line
from tokenfall.wire.logprob_list import LogprobList

_encode = msgspec.json.encode


class EventEncoder:
    """Encodes events as frames: opens a content block whenever the kind of event or the call index changes."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._kind = ""
        self._index = 0
        self._template: tuple[bytes, bytes] | None = None
        self._with_logprobs: Callable[[str, bytes], bytes] | None = getattr(encoder, "token_with_logprobs", None)

    def frames(self, event: OutputEvent) -> bytes:
        """The frames of an event; b"" if the dialect buffers it."""
        kind: BlockKind
        if isinstance(event, ToolCallDelta):
            kind, index, text = "call", event.index, event.arguments
        else:
            kind, index, text = "text" if isinstance(event, TextDelta) else "thought", 0, event.text
        opened = b""
        if kind != self._kind or index != self._index:
            self._kind, self._index = kind, index
            call = ToolCall(event.id, event.name, "") if isinstance(event, ToolCallDelta) else None
            opened = self._encoder.open(ContentBlock(kind, call=call, index=index))
            self._template = self._encoder.frame_template()
        if isinstance(event, TextDelta) and event.logprobs and self._with_logprobs is not None:
            return opened + self._with_logprobs(text, event.logprobs)
        if not text:
            return opened
        if self._template is None:
            return opened + self._encoder.token(text)
        prefix, suffix = self._template
        return b"%b%b%b%b" % (opened, prefix, one_line(_encode(text)), suffix)

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        """The frames that end the stream."""
        return self._encoder.finish(0, finished.reason) + self._encoder.end(finished, timing)


class Accumulator:
    """Accumulates events into one complete choice, without its tokens."""

    def __init__(self) -> None:
        self._text = TextBuffer()
        self._logprobs = LogprobList()
        self._thought = TextBuffer()
        self._calls: dict[int, tuple[ToolCallDelta, TextBuffer]] = {}

    def on_event(self, event: OutputEvent) -> None:
        if isinstance(event, ToolCallDelta):
            _, arguments = self._calls.setdefault(event.index, (event, TextBuffer()))
            arguments.add(event.arguments)
        elif isinstance(event, TextDelta):
            self._text.add(event.text)
            self._logprobs.add(event.logprobs)
        else:
            self._thought.add(event.text)

    def choice(self, finished: Finished) -> ResponseChoice:
        """The choice made of all events so far."""
        calls = tuple(
            ToolCall(first.id, first.name, arguments.text()) for _, (first, arguments) in sorted(self._calls.items())
        )
        return ResponseChoice(
            text=self._text.text(),
            reason=finished.reason,
            thought=self._thought.text(),
            calls=calls,
            logprobs=self._logprobs.take(),
        )
