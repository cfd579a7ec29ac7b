"""Selects the turn of a scenario for a request, or explains why no turn matches. Pure.

Precedence among the matching turns:

1. After a tool result, turns with `tool_result` are preferred. Otherwise the turn with the tool call would match again,
   endlessly, because the last user message is still the same.
2. Turns with an exact matcher are preferred to those with only `contains` or `pattern`, and these to those without.
3. File order.
"""

import re

from msgspec import Struct

from tokenfall import logs
from tokenfall.errors import NotFound
from tokenfall.messages import ChatRequest, Message
from tokenfall.simulator.scenarios.format import Matcher, ScenarioTurn
from tokenfall.simulator.scenarios.nodes import shown
from tokenfall.slicing.computation import Sliced

SLICE_CHARACTERS = 1_000_000
COMPARED_COST = 100_000
"""Cost of comparing the words of one turn, in searched characters."""

MAX_MISSES = 3
MAX_COMPARED = 2_000
"""Characters that are compared to find the nearest turns."""

_WORD = re.compile(r"\w+")
_log = logs.get(__name__)


class MatchedValues(Struct, frozen=True):
    """The values of a request that matchers compare. `texts` are each subject's equivalent texts, () if absent."""

    texts: dict[str, tuple[str, ...]]
    turn: int


class _Miss(Struct, frozen=True):
    """A turn that did not match. `failed` is empty if all matchers match, but the turn was used `times` times."""

    turn: ScenarioTurn
    failed: tuple[Matcher, ...]
    similarity: float


class Scenario:
    """The turns of one file with their use counts. `name` is the file name in messages to clients."""

    def __init__(self, turns: tuple[ScenarioTurn, ...], *, name: str) -> None:
        self.turns = turns
        self.name = name
        self._used = [0] * len(turns)
        # In order of precedence; sorting is stable, so equal turns stay in file order.
        self._by_rank = sorted(turns, key=_rank)
        self._after_tool = sorted(self._by_rank, key=lambda turn: not _matches_result(turn))

    def find(self, request: ChatRequest) -> Sliced[ScenarioTurn]:
        """The turn for `request`. Raises `NotFound`, and logs it. Counts a use of the turn: call once per request."""
        values = matched_values(request)
        spent = 0
        for turn in self._after_tool if values.texts["tool_result"] else self._by_rank:
            if self._has_uses_left(turn) and all(matches(matcher, values) for matcher in turn.matchers):
                self._used[turn.number - 1] += 1
                return turn
            spent += _cost(turn, values)
            if spent >= SLICE_CHARACTERS:
                spent = 0
                yield
        message = yield from self._explain_misses(values)
        # The log has no text of prompts.
        _log.warning("no turn of the scenario %s matches a request; the error names the nearest turns", self.name)
        raise NotFound(message)

    def _has_uses_left(self, turn: ScenarioTurn) -> bool:
        return turn.times is None or self._used[turn.number - 1] < turn.times

    def _explain_misses(self, values: MatchedValues) -> Sliced[str]:
        found = yield from self._misses(values)
        misses = sorted(found, key=lambda miss: (len(miss.failed), -miss.similarity, miss.turn.number))
        nearest = "; ".join(_explanation(miss, values) for miss in misses[:MAX_MISSES])
        return f"no turn of the scenario {self.name} matches this request; nearest: {nearest}"

    def _misses(self, values: MatchedValues) -> Sliced[list[_Miss]]:
        misses = []
        spent = 0
        for turn in self.turns:
            failed = tuple(matcher for matcher in turn.matchers if not matches(matcher, values))
            misses.append(_Miss(turn, failed, sum(_similarity(matcher, values) for matcher in failed)))
            spent += _cost(turn, values) + COMPARED_COST
            if spent >= SLICE_CHARACTERS:
                spent = 0
                yield
        return misses


def _cost(turn: ScenarioTurn, values: MatchedValues) -> int:
    """Upper bound of the characters searched to match `turn`; a pattern counts as a complete slice."""
    cost = 1
    for matcher in turn.matchers:
        if matcher.pattern is not None:
            return SLICE_CHARACTERS
        if matcher.subject != "turn":
            cost += sum(map(len, values.texts[matcher.subject]))
    return cost


def matched_values(request: ChatRequest) -> MatchedValues:
    """The values of `request` that matchers compare."""
    messages = request.messages
    users = [message.content for message in messages if message.role == "user"]
    systems = [message.content for message in messages if message.role == "system"]
    name = request.model.partition(":")[0]
    return MatchedValues(
        {
            "last": tuple(users[-1:]),
            "system": ("\n".join(systems),) if systems else (),
            "model": (request.model,) if name == request.model else (request.model, name),
            "tool_result": _result(messages),
        },
        len(users),
    )


def _result(messages: tuple[Message, ...]) -> tuple[str, ...]:
    """Text, call id and tool name of the tool result, if it is the last message."""
    if not messages or messages[-1].role != "tool":
        return ()
    result = messages[-1]
    named = [call.name for message in messages for call in message.tool_calls if call.id == result.tool_call_id]
    return (result.content, *filter(None, (result.tool_call_id, *named[-1:])))


def matches(matcher: Matcher, values: MatchedValues) -> bool:
    """Whether `matcher` matches."""
    if matcher.subject == "turn":
        return matcher.expected == values.turn
    return any(_fits(matcher, text) for text in values.texts[matcher.subject])


def _fits(matcher: Matcher, text: str) -> bool:
    if matcher.pattern is not None:
        return matcher.pattern.found(text)
    return matcher.expected == text if matcher.kind == "exact" else str(matcher.expected) in text


def _rank(turn: ScenarioTurn) -> int:
    if not turn.matchers:
        return 2
    return 0 if any(matcher.kind == "exact" for matcher in turn.matchers) else 1


def _matches_result(turn: ScenarioTurn) -> bool:
    return any(matcher.subject == "tool_result" for matcher in turn.matchers)


# Misses


def _similarity(matcher: Matcher, values: MatchedValues) -> float:
    """The share of common words, 0 to 1. Must be cheap, as it is computed for every turn of a file."""
    if matcher.kind == "pattern" or matcher.subject == "turn":
        return 0.0
    expected = _words(str(matcher.expected))
    got = [_words(text) for text in values.texts[matcher.subject]]
    return max((len(expected & words) / (len(expected | words) or 1) for words in got), default=0.0)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text[:MAX_COMPARED].lower()))


def _explanation(miss: _Miss, values: MatchedValues) -> str:
    place = f"turn {miss.turn.number} (line {miss.turn.line})"
    if not miss.failed:
        return f"{place}: used {miss.turn.times} of {miss.turn.times} times"
    return f"{place}: " + ", ".join(_difference(matcher, values) for matcher in miss.failed)


def _difference(matcher: Matcher, values: MatchedValues) -> str:
    kind = "" if matcher.kind == "exact" else f"{matcher.kind} "
    if matcher.subject == "turn":
        got = str(values.turn)
    else:
        got = " or ".join(map(shown, values.texts[matcher.subject])) or "none"
    return f"{matcher.subject} expected {kind}{shown(matcher.expected)}, got {got}"
