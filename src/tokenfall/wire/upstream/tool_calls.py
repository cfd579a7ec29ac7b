"""Pieces of tool calls to calls: which piece belongs to which call. Pure.

Providers number calls by `index`, by `id`, by both or by neither, and some use one index for all calls. A piece belongs
to the latest call of its index; without an index to that of its id; without both to the latest. It begins a new call
when it brings another id, another name, or the same name after arguments that are complete.
"""

from collections.abc import Iterable

from tokenfall.errors import UpstreamMalformed
from tokenfall.events import ToolCallDelta
from tokenfall.wire.json_document import JSONDocument
from tokenfall.wire.upstream.chunk import CallPiece


class _Call:
    """One call; `number` is its place among the calls that were told, None until its name is known."""

    __slots__ = ("_scanner", "_unscanned", "_whole", "held", "id", "index", "name", "number")

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.number: int | None = None
        self.held = ""
        self._unscanned: list[str] = []
        self._scanner = JSONDocument()
        self._whole = False

    def add(self, arguments: str) -> None:
        self._unscanned.append(arguments)

    def is_whole(self) -> bool:
        """Whether the arguments are a complete JSON object. Each piece is scanned once, and only when this is asked."""
        pending, self._unscanned = self._unscanned, []
        for piece in pending:
            self._whole = self._scanner.feed(piece.encode(errors="replace")) is not None or self._whole
        return self._whole


class ToolCallReader:
    """Tells each call under a number of its own, its first piece with the id and the name."""

    __slots__ = ("_calls", "_told")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._told = 0

    def read(self, pieces: Iterable[CallPiece]) -> list[ToolCallDelta]:
        """The parts that can be told: a call whose name has not come is held."""
        return [part for piece in pieces if (part := self._read(piece)) is not None]

    def _read(self, piece: CallPiece) -> ToolCallDelta | None:
        function = piece.function
        name = (function and function.name) or ""
        arguments = (function and function.arguments) or ""
        if not (name or arguments or piece.id):
            return None
        call = self._find(piece.index, piece.id or "", named=bool(name))
        if call is None or _starts_another(call, piece.id or "", name=name):
            call = _Call(piece.index)
            self._calls.append(call)
        call.id = call.id or piece.id or ""
        call.name = call.name or name
        call.add(arguments)
        return self._tell(call, arguments)

    def _find(self, index: int | None, call_id: str, *, named: bool) -> _Call | None:
        if not self._calls:
            return None
        latest = self._calls[-1]
        if index is not None:
            found = next((call for call in reversed(self._calls) if call.index == index), None)
            if found is not None or named:
                return found
            if call_id:
                return self._of_id(call_id)
            return latest if latest.index is None else None
        if call_id and (found := self._of_id(call_id)) is not None:
            return found
        return latest

    def _of_id(self, call_id: str) -> _Call | None:
        return next((call for call in reversed(self._calls) if call.id == call_id), None)

    def _tell(self, call: _Call, arguments: str) -> ToolCallDelta | None:
        if call.number is not None:
            return ToolCallDelta(call.number, "", "", arguments)
        call.held += arguments
        if not call.name:
            return None
        call.number = self._told
        self._told += 1
        held, call.held = call.held, ""
        return ToolCallDelta(call.number, call.id, call.name, held)

    def end(self) -> None:
        """Raises `UpstreamMalformed` for a call whose name never came."""
        if any(call.held for call in self._calls):
            raise UpstreamMalformed("the upstream sent a tool call without a name")


def _starts_another(call: _Call, call_id: str, *, name: str) -> bool:
    """Whether a piece that would belong to `call` begins the next one.

    Some providers give every piece an id of its own: without a name it begins a call only when `call` is complete.
    """
    if call_id and call.id:
        if call_id != call.id:
            return bool(name) or call.is_whole()
        return bool(name) and call.index is None and call.is_whole()
    return bool(name and call.name) and (name != call.name or call.is_whole())
