"""An answer as `tokenfall.wire.composer` puts it, piece by piece, in any dialect. Pure."""

import msgspec

from tokenfall.events import Finished, OutputEvent, TextDelta, ToolCallDelta
from tokenfall.messages import ToolCall
from tokenfall.wire.dialect import Choice, ContentBlock, Encoder, Timing
from tokenfall.wire.json_lines import one_line

_encode = msgspec.json.encode


class EventEncoder:
    """Writes what is told with one encoder: opens a section whenever another kind of thing is said."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._kind = ""
        self._index = -1
        self._affixes: tuple[bytes, bytes] | None = None

    def frames(self, event: OutputEvent) -> bytes:
        """The frames of a piece; b"" where the dialect says it later."""
        kind = "text" if isinstance(event, TextDelta) else "call" if isinstance(event, ToolCallDelta) else "thought"
        index = event.index if isinstance(event, ToolCallDelta) else -1
        text = event.arguments if isinstance(event, ToolCallDelta) else event.text
        opened = b""
        if kind != self._kind or index != self._index:
            self._kind, self._index = kind, index
            opened = self._encoder.open(_block(event))
            self._affixes = self._encoder.frame_template()
        if not text:
            return opened
        if self._affixes is None:
            return opened + self._encoder.token(text)
        before, after = self._affixes
        return b"%b%b%b%b" % (opened, before, one_line(_encode(text)), after)

    def end(self, finished: Finished, timing: Timing) -> bytes:
        """The frames that end the answer."""
        return self._encoder.finish(0, finished.reason) + self._encoder.end(finished, timing)


def _block(event: OutputEvent) -> ContentBlock:
    if isinstance(event, ToolCallDelta):
        return ContentBlock("call", call=ToolCall(event.id, event.name, ""), index=event.index)
    return ContentBlock("text" if isinstance(event, TextDelta) else "thought")


class Accumulator:
    """Collects what is told into one whole answer."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: dict[int, list[ToolCallDelta]] = {}

    def on_event(self, event: OutputEvent) -> None:
        """The next piece."""
        if isinstance(event, ToolCallDelta):
            self._calls.setdefault(event.index, []).append(event)
        elif isinstance(event, TextDelta):
            self._texts.append(event.text)
        else:
            self._thoughts.append(event.text)

    def choice(self, finished: Finished) -> Choice:
        """All of it."""
        calls = tuple(
            ToolCall(parts[0].id, parts[0].name, "".join(part.arguments for part in parts))
            for index, parts in sorted(self._calls.items())
        )
        text = "".join(self._texts)
        return Choice(
            text=text, reason=finished.reason, thought="".join(self._thoughts), calls=calls, tokens=self._texts
        )
