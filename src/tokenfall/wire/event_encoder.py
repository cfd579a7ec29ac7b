"""An answer as `tokenfall.wire.composer` puts it, piece by piece, in any dialect. Pure."""

import msgspec

from tokenfall.events import CallPart, Delta, Finished, Said
from tokenfall.messages import ToolCall
from tokenfall.wire.dialect import Choice, Encoder, Section, Timing
from tokenfall.wire.json_lines import one_line

_encode = msgspec.json.encode


class Speaker:
    """Writes what is told with one encoder: opens a section whenever another kind of thing is said."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._kind = ""
        self._index = -1
        self._affixes: tuple[bytes, bytes] | None = None

    def frames(self, said: Said) -> bytes:
        """The frames of a piece; b"" where the dialect says it later."""
        kind = "text" if isinstance(said, Delta) else "call" if isinstance(said, CallPart) else "thought"
        index = said.index if isinstance(said, CallPart) else -1
        text = said.arguments if isinstance(said, CallPart) else said.text
        opened = b""
        if kind != self._kind or index != self._index:
            self._kind, self._index = kind, index
            opened = self._encoder.open(_section(said))
            self._affixes = self._encoder.affixes()
        if not text:
            return opened
        if self._affixes is None:
            return opened + self._encoder.token(text)
        before, after = self._affixes
        return b"%b%b%b%b" % (opened, before, one_line(_encode(text)), after)

    def end(self, finished: Finished, timing: Timing) -> bytes:
        """The frames that end the answer."""
        return self._encoder.finish(0, finished.reason) + self._encoder.end(finished, timing)


def _section(said: Said) -> Section:
    if isinstance(said, CallPart):
        return Section("call", call=ToolCall(said.id, said.name, ""), index=said.index)
    return Section("text" if isinstance(said, Delta) else "thought")


class Listener:
    """Collects what is told into one whole answer."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: dict[int, list[CallPart]] = {}

    def hear(self, said: Said) -> None:
        """The next piece."""
        if isinstance(said, CallPart):
            self._calls.setdefault(said.index, []).append(said)
        elif isinstance(said, Delta):
            self._texts.append(said.text)
        else:
            self._thoughts.append(said.text)

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
