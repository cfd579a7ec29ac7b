"""Assigns deltas of tool calls to calls. Pure.

Providers identify calls by `index`, by `id`, by both or by neither, and some use one index for all calls. A fragment
belongs to the latest call with its index; without an index, to the call with its id; without both, to the latest call.
It starts a new call if it has another id, another name, or the same name after complete arguments. Some providers
repeat the name in every fragment, some send it in parts, and some repeat all arguments so far in every fragment.

The arguments of emitted calls are limited by the caller.
"""

from bisect import bisect_left
from collections.abc import Collection, Sequence

import msgspec

from tokenfall.errors import UpstreamMalformed
from tokenfall.events import ToolCallDelta
from tokenfall.wire.json_document import JSONDocument
from tokenfall.wire.upstream.chunk import CallPiece
from tokenfall.wire.upstream.repeated_arguments import RepeatedArguments

MAX_CALLS = 1_024
"""Limit of the calls of a response, and of the fragments in one event."""

MAX_HELD = 65_536
"""Limit of characters that are held for calls whose names are not known yet."""


class _Call:
    """One call; `number` is its position among the emitted calls, None until its name is known."""

    __slots__ = (
        "_complete", "_repeated", "_scanner", "_unscanned", "extra", "has_arguments", "held", "id", "index", "name",
        "named_again", "number",
    )  # fmt: skip

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.named_again = False
        """Whether a fragment after the complete arguments had only the name: arguments after it are of a new call."""
        self.number: int | None = None
        self.held = ""
        self.extra = b""
        self.has_arguments = False
        self._repeated = RepeatedArguments()
        self._unscanned = bytearray()  # a list of small fragments would be fifty times as large as their text
        self._scanner = JSONDocument()
        self._complete = False

    def add(self, arguments: str) -> str:
        """The part of `arguments` that is new."""
        arguments = self._repeated.new_part(arguments)
        self.has_arguments = self.has_arguments or arguments != ""
        self._unscanned += arguments.encode(errors="replace")
        return arguments

    def is_complete(self) -> bool:
        """Whether the arguments are a complete JSON object. Scans each fragment once, and only if this is called."""
        self._complete = self._scanner.feed(bytes(self._unscanned)) is not None or self._complete
        self._unscanned.clear()
        return self._complete


class ToolCallReader:
    """Emits each call with its own index; the first delta of a call has its id and name.

    `tools` are the names of the tools of the request. A name is continued only if it then begins one of them.
    """

    __slots__ = ("_by_id", "_by_index", "_calls", "_emitted", "_held", "_tools")

    def __init__(self, tools: Collection[str] = ()) -> None:
        self._tools = sorted(tools)
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        """The latest call with each id."""
        self._by_index: dict[int, _Call] = {}
        """The latest call with each index."""
        self._emitted = 0
        self._held = 0
        """Characters that were ever held."""

    def read(self, pieces: Sequence[CallPiece]) -> list[ToolCallDelta]:
        """The deltas that can be emitted; those of a call whose name is not known yet are held.

        Raises `UpstreamMalformed` above a limit.
        """
        if len(pieces) > MAX_CALLS:
            raise UpstreamMalformed(f"an event of the upstream has more than {MAX_CALLS} parts of tool calls")
        return [part for piece in pieces if (part := self._read(piece)) is not None]

    def _read(self, piece: CallPiece) -> ToolCallDelta | None:
        function = piece.function
        name = (function and function.name) or ""
        arguments = (function and function.arguments) or ""
        if not (name or arguments or piece.id):
            return None
        call = self._find(piece.index, piece.id or "", named=bool(name))
        if call is None or self._starts_another(call, piece.id or "", name=name, arguments=arguments):
            call = self._new_call(call, piece.index, named=bool(name))
        if call.name and not call.has_arguments:
            name = self._continuation(call.name, name) or ""
        elif call.name:
            name = ""
        if piece.id and not call.id:
            call.id = piece.id
            self._by_id[piece.id] = call
        call.name += name
        if piece.extra_content:
            call.extra = msgspec.json.encode(piece.extra_content)
        return self._emit(call, name=name, arguments=call.add(arguments))

    def _starts_another(self, call: _Call, call_id: str, *, name: str, arguments: str) -> bool:
        """Whether a fragment that would belong to `call` starts a new one.

        Some providers give every fragment its own id: without a name, it starts a new call only if `call` is complete.
        """
        has_id = bool(call_id and call.id)
        if has_id and call_id != call.id:
            return bool(name) or call.is_complete()
        if not name:
            return bool(arguments) and call.named_again
        if not call.has_arguments:
            return bool(call.name) and self._continuation(call.name, name) is None
        if not call.name or (has_id and call.index is not None and name == call.name):
            return False
        if name != call.name:
            return not has_id or call.is_complete()
        call.named_again = not arguments and call.is_complete()
        return bool(arguments) and call.is_complete()

    def _continuation(self, before: str, name: str) -> str | None:
        """The part of `name` that follows `before`: "" if it is repeated; None if it is the name of another call."""
        joined = before + name
        if self._first_tool_from(joined).startswith(joined):
            return name
        if name == before:
            return ""
        if self._first_tool_from(before) != before and name.startswith(before):
            return name.removeprefix(before)
        return None

    def _first_tool_from(self, name: str) -> str:
        """The first tool whose name is `name` or follows it in sorted order, "" if there is none."""
        place = bisect_left(self._tools, name)
        return self._tools[place] if place < len(self._tools) else ""

    def _new_call(self, before: _Call | None, index: int | None, *, named: bool) -> _Call:
        if len(self._calls) == MAX_CALLS:
            raise UpstreamMalformed(f"the upstream's response has more than {MAX_CALLS} tool calls")
        call = _Call(index)
        if before is not None and before.named_again and not named:
            call.name = before.name
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _find(self, index: int | None, call_id: str, *, named: bool) -> _Call | None:
        if not self._calls:
            return None
        latest = self._calls[-1]
        if index is not None:
            found = self._by_index.get(index)
            if found is not None or named:
                return found
            if call_id:
                return self._by_id.get(call_id)
            return latest if latest.index is None else None
        return self._by_id.get(call_id, latest) if call_id else latest

    def _emit(self, call: _Call, *, name: str, arguments: str) -> ToolCallDelta | None:
        """`name` and `arguments` are the parts that are new."""
        if call.number is not None:
            return ToolCallDelta(call.number, "", name, arguments) if name or arguments else None
        call.held += arguments
        if not call.name:
            self._held += len(arguments)
            if self._held > MAX_HELD:
                raise UpstreamMalformed(f"the upstream sent over {MAX_HELD} characters of a tool call without a name")
            return None
        call.number = self._emitted
        self._emitted += 1
        held, call.held = call.held, ""
        return ToolCallDelta(call.number, call.id, call.name, held, call.extra)

    def end(self) -> None:
        """Call at the end of the stream. Raises `UpstreamMalformed` for a call without a name."""
        if any(call.held for call in self._calls):
            raise UpstreamMalformed("the upstream sent a tool call without a name")
