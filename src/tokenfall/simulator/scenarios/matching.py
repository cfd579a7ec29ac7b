"""Which turn of a script answers a request, and why none does. No clock and no file.

Among the turns that match:

1. After a tool's result those with `tool_result` go before those without. A turn that called the tool would else
   match again, since the last user message is still the same, and the loop would never end.
2. A turn with an exact matcher goes before one that has only `contains` or `pattern`, and that before one without.
3. The first in the file.
"""

import re

from msgspec import Struct

from tokenfall import logs
from tokenfall.errors import NotFound
from tokenfall.messages import ChatRequest, Message
from tokenfall.simulator.scenarios.format import Matcher, ScenarioTurn
from tokenfall.simulator.scenarios.nodes import shown
from tokenfall.slices import Sliced

SLICE_CHARACTERS = 1_000_000
COMPARED_COST = 100_000
"""What comparing one turn's words costs, in characters that are looked for."""

MAX_MISSES = 3
MAX_COMPARED = 2_000
"""Characters that are compared to tell which miss is nearest."""

_WORD = re.compile(r"\w+")
_log = logs.get(__name__)


class Seen(Struct, frozen=True):
    """What matchers look at. Of each subject the texts that it goes by; none where the request has no such thing."""

    texts: dict[str, tuple[str, ...]]
    turn: int


class _Miss(Struct, frozen=True):
    """A turn that did not match. `failed` is never empty, except where all held and the turn is used up."""

    turn: ScenarioTurn
    failed: tuple[Matcher, ...]
    likeness: float


class Scenario:
    """The turns of one file, and how often each was used. `name` is what callers are shown of the file."""

    def __init__(self, turns: tuple[ScenarioTurn, ...], *, name: str) -> None:
        self.turns = turns
        self.name = name
        self._used = [0] * len(turns)
        # Matching asks in the order of preference; sorting is stable, so the file's order decides the rest.
        self._plainly = sorted(turns, key=_rank)
        self._after_tool = sorted(self._plainly, key=lambda turn: not _wants_result(turn))

    def find(self, request: ChatRequest) -> Sliced[ScenarioTurn]:
        """The turn that answers `request`; this counts as one use of it. Raises `NotFound`, and logs it.

        Call it once a request.
        """
        seen = seen_of(request)
        spent = 0
        for turn in self._after_tool if seen.texts["tool_result"] else self._plainly:
            if self._is_left(turn) and all(holds(matcher, seen) for matcher in turn.matchers):
                self._used[turn.number - 1] += 1
                return turn
            spent += _cost(turn, seen)
            if spent >= SLICE_CHARACTERS:
                spent = 0
                yield
        message = yield from self._missed(seen)
        _log.warning("no turn of the script %s answers a request; the error names the nearest", self.name)  # no prompt
        raise NotFound(message)

    def _is_left(self, turn: ScenarioTurn) -> bool:
        return turn.times is None or self._used[turn.number - 1] < turn.times

    def _missed(self, seen: Seen) -> Sliced[str]:
        found = yield from self._misses(seen)
        misses = sorted(found, key=lambda miss: (len(miss.failed), -miss.likeness, miss.turn.number))
        nearest = "; ".join(_told(miss, seen) for miss in misses[:MAX_MISSES])
        return f"no turn of the script {self.name} answers this request; nearest: {nearest}"

    def _misses(self, seen: Seen) -> Sliced[list[_Miss]]:
        misses = []
        spent = 0
        for turn in self.turns:
            failed = tuple(matcher for matcher in turn.matchers if not holds(matcher, seen))
            misses.append(_Miss(turn, failed, sum(_likeness(matcher, seen) for matcher in failed)))
            spent += _cost(turn, seen) + COMPARED_COST
            if spent >= SLICE_CHARACTERS:
                spent = 0
                yield
        return misses


def _cost(turn: ScenarioTurn, seen: Seen) -> int:
    """How many characters matching `turn` goes through, at most; a pattern counts as a slice of its own."""
    cost = 1
    for matcher in turn.matchers:
        if matcher.pattern is not None:
            return SLICE_CHARACTERS
        if matcher.subject != "turn":
            cost += sum(map(len, seen.texts[matcher.subject]))
    return cost


def seen_of(request: ChatRequest) -> Seen:
    """What matchers look at in `request`."""
    messages = request.messages
    users = [message.content for message in messages if message.role == "user"]
    systems = [message.content for message in messages if message.role == "system"]
    name = request.model.partition(":")[0]
    return Seen(
        {
            "last": tuple(users[-1:]),
            "system": ("\n".join(systems),) if systems else (),
            "model": (request.model,) if name == request.model else (request.model, name),
            "tool_result": _result(messages),
        },
        len(users),
    )


def _result(messages: tuple[Message, ...]) -> tuple[str, ...]:
    """The text, the call's id and the tool's name of the result that came last, where nothing came after it."""
    if not messages or messages[-1].role != "tool":
        return ()
    result = messages[-1]
    named = [call.name for message in messages for call in message.tool_calls if call.id == result.tool_call_id]
    return (result.content, *filter(None, (result.tool_call_id, *named[-1:])))


def holds(matcher: Matcher, seen: Seen) -> bool:
    """Whether what was seen is as `matcher` demands."""
    if matcher.subject == "turn":
        return matcher.expected == seen.turn
    return any(_fits(matcher, text) for text in seen.texts[matcher.subject])


def _fits(matcher: Matcher, text: str) -> bool:
    if matcher.pattern is not None:
        return matcher.pattern.found(text)
    return matcher.expected == text if matcher.kind == "exact" else str(matcher.expected) in text


def _rank(turn: ScenarioTurn) -> int:
    if not turn.matchers:
        return 2
    return 0 if any(matcher.kind == "exact" for matcher in turn.matchers) else 1


def _wants_result(turn: ScenarioTurn) -> bool:
    return any(matcher.subject == "tool_result" for matcher in turn.matchers)


# Misses


def _likeness(matcher: Matcher, seen: Seen) -> float:
    """From 0 to 1: the share of words in common. Cheap, since every turn of a file is asked."""
    if matcher.kind == "pattern" or matcher.subject == "turn":
        return 0.0
    expected = _words(str(matcher.expected))
    got = [_words(text) for text in seen.texts[matcher.subject]]
    return max((len(expected & words) / (len(expected | words) or 1) for words in got), default=0.0)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text[:MAX_COMPARED].lower()))


def _told(miss: _Miss, seen: Seen) -> str:
    place = f"turn {miss.turn.number} (line {miss.turn.line})"
    if not miss.failed:
        return f"{place}: used {miss.turn.times} of {miss.turn.times} times"
    return f"{place}: " + ", ".join(_difference(matcher, seen) for matcher in miss.failed)


def _difference(matcher: Matcher, seen: Seen) -> str:
    kind = "" if matcher.kind == "exact" else f"{matcher.kind} "
    if matcher.subject == "turn":
        got = str(seen.turn)
    else:
        got = " or ".join(map(shown, seen.texts[matcher.subject])) or "none"
    return f"{matcher.subject} expected {kind}{shown(matcher.expected)}, got {got}"
