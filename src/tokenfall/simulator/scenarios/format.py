"""Validates the nodes of a scenario file and converts them to turns. Pure; errors have line and field."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from tokenfall.errors import InvalidRequest
from tokenfall.events import FinishReason
from tokenfall.simulator.grammar import Simulation, parse
from tokenfall.simulator.scenarios.nodes import InvalidScenario, Node, shown
from tokenfall.simulator.scenarios.patterns import TextPattern, compile_pattern

Subject = Literal["last", "system", "model", "turn", "tool_result"]
Kind = Literal["exact", "contains", "pattern"]

Value = TypeVar("Value")


class Matcher(Struct, frozen=True):
    """A condition on a request. `expected` is a text, or a number if the subject is `turn`; `pattern` is compiled."""

    subject: Subject
    kind: Kind
    expected: str | int
    pattern: TextPattern | None = None


class TextStep(Struct, frozen=True):
    """Output `text`."""

    text: str


class ThoughtStep(Struct, frozen=True):
    """Output `text` as reasoning."""

    text: str


class CallStep(Struct, frozen=True):
    """Output a tool call. `arguments` is sent unchanged, and is usually the text of a JSON object."""

    name: str
    arguments: str


class ErrorStep(Struct, frozen=True):
    """Fail with `message`; always the last step."""

    message: str


Step = TextStep | ThoughtStep | CallStep | ErrorStep


class ScenarioTurn(Struct, frozen=True):
    """One turn. `number` is its position in the file, from 1; `line` is its first line.

    Without `say`, `steps` is empty and the simulator generates the response. `times` is None for no limit.
    """

    number: int
    line: int
    matchers: tuple[Matcher, ...]
    steps: tuple[Step, ...]
    simulation: Simulation
    finish_reason: FinishReason | None = None
    times: int | None = None


def turns_of(root: Node) -> tuple[ScenarioTurn, ...]:
    """The turns of a file. Raises `InvalidScenario`, without the file name."""
    if not isinstance(root.value, list) or not root.value:
        raise _takes(root, "", what="a list of turns, at least one")
    return tuple(_turn(node, number) for number, node in enumerate(root.value, 1))


# Turns


def _turn(node: Node, number: int) -> ScenarioTurn:
    place = f"turn {number}"
    fields = _mapping(node, place, known=("when", "say", "sim", "finish_reason", "times"))
    if "say" not in fields and "sim" not in fields:
        raise InvalidScenario("has neither say nor sim", line=node.line, field=place)
    steps: tuple[Step, ...] = _read(fields, "say", read=_steps, place=f"{place}: ", default=())
    reason = _read(fields, "finish_reason", read=_reason, place=f"{place}: ", default=None)
    if reason is not None and not steps:
        raise InvalidScenario("needs say", line=fields["finish_reason"].line, field=f"{place}: finish_reason")
    return ScenarioTurn(
        number,
        node.line,
        _read(fields, "when", read=_matchers, place=f"{place}: ", default=()),
        steps,
        _read(fields, "sim", read=_simulation, place=f"{place}: ", default=Simulation()),
        reason,
        _read(fields, "times", read=_count, place=f"{place}: ", default=None),
    )


def _read(
    fields: Mapping[str, Node], key: str, *, read: Callable[[Node, str], Value], place: str, default: Value
) -> Value:
    return read(fields[key], f"{place}{key}") if key in fields else default


def _simulation(node: Node, place: str) -> Simulation:
    try:
        simulation = parse(_text(node, place))
    except InvalidRequest as error:
        raise InvalidScenario(error.message, line=node.line, field=place) from None
    if simulation.script is not None:
        raise InvalidScenario("a scenario cannot select another scenario", line=node.line, field=place)
    return simulation


def _reason(node: Node, place: str) -> FinishReason | None:
    for reason in get_args(FinishReason):
        if node.value == reason:
            return reason  # type: ignore[no-any-return] # `get_args` is untyped
    raise _takes(node, place, what="one of " + ", ".join(get_args(FinishReason)))


def _count(node: Node, place: str) -> int | None:
    value = node.value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _takes(node, place, what="an integer from 1")
    return value


# Matchers


def _matchers(node: Node, place: str) -> tuple[Matcher, ...]:
    fields = _mapping(node, place, known=get_args(Subject))
    return tuple(_matcher(fields[subject], f"{place}.{subject}", subject=subject) for subject in fields)


def _matcher(node: Node, place: str, *, subject: Any) -> Matcher:  # noqa: ANN401 - one of Subject, checked before
    if subject == "turn":
        return Matcher(subject, "exact", _count(node, place) or 0)
    if isinstance(node.value, str):
        return Matcher(subject, "exact", node.value)
    if not isinstance(node.value, dict):
        raise _takes(node, place, what="a text, {contains: text} or {pattern: text}")
    kind, within = _only(node, place, known=("contains", "pattern"))
    expected = _text(within, f"{place}.{kind}")
    if kind == "contains":
        return Matcher(subject, "contains", expected)
    return Matcher(subject, "pattern", expected, _compiled(within, f"{place}.pattern"))


def _compiled(node: Node, place: str) -> TextPattern:
    try:
        return compile_pattern(node.value)
    except ValueError as error:
        raise InvalidScenario(f"{shown(node.value)} {error}", line=node.line, field=place) from None


# Steps


def _steps(node: Node, place: str) -> tuple[Step, ...]:
    if isinstance(node.value, str):
        return (TextStep(node.value),)
    if not isinstance(node.value, list) or not node.value:
        raise _takes(node, place, what="a text, or a list of steps, at least one")
    steps = tuple(_step(each, f"{place}[{index}]") for index, each in enumerate(node.value))
    for index, step in enumerate(steps[:-1]):
        if isinstance(step, ErrorStep):
            raise InvalidScenario(
                "an error must be the last step", line=node.value[index + 1].line, field=f"{place}[{index + 1}]"
            )
    return steps


def _step(node: Node, place: str) -> Step:
    kind, within = _only(node, place, known=("text", "think", "call", "error"))
    place = f"{place}.{kind}"
    if kind == "call":
        return _call(within, place)
    text = _text(within, place)
    if kind == "error":
        return ErrorStep(text)
    return TextStep(text) if kind == "text" else ThoughtStep(text)


def _call(node: Node, place: str) -> CallStep:
    fields = _mapping(node, place, known=("name", "arguments"))
    if "name" not in fields:
        raise InvalidScenario("has no name", line=node.line, field=place)
    name = _text(fields["name"], f"{place}.name")
    if not name:
        raise _takes(fields["name"], f"{place}.name", what="a text that is not empty")
    return CallStep(name, _read(fields, "arguments", read=_arguments, place=f"{place}.", default="{}"))


def _arguments(node: Node, place: str) -> str:
    if isinstance(node.value, str):
        return node.value
    if not isinstance(node.value, dict):
        raise _takes(node, place, what="a mapping, or a text that is sent unchanged")
    # With white space, because tokens are split there.
    return msgspec.json.format(msgspec.json.encode(node.plain), indent=0).decode()


# Nodes


def _mapping(node: Node, place: str, *, known: tuple[str, ...]) -> dict[str, Node]:
    if not isinstance(node.value, dict):
        raise _takes(node, place, what="a mapping with " + ", ".join(known))
    for key, line in node.lines.items():
        if key not in known:
            what = f"unknown key {shown(key)}; keys: {', '.join(known)}"
            raise InvalidScenario(what, line=line, field=place)
    return node.value


def _only(node: Node, place: str, *, known: tuple[str, ...]) -> tuple[str, Node]:
    fields = _mapping(node, place, known=known)
    if len(fields) != 1:
        got = " and ".join(fields) or "none"
        raise InvalidScenario(f"takes one of {', '.join(known)}, got {got}", line=node.line, field=place)
    return next(iter(fields.items()))


def _text(node: Node, place: str) -> str:
    if not isinstance(node.value, str):
        raise _takes(node, place, what="a text")
    return node.value


def _takes(node: Node, place: str, *, what: str) -> InvalidScenario:
    return InvalidScenario(f"takes {what}, got {shown(node.value)}", line=node.line, field=place)
