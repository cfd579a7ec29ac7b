import msgspec
import pytest
import yaml  # type: ignore[import-untyped,unused-ignore] # the stubs are a separate package
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.simulator.grammar import Simulation
from tokenfall.simulator.scenarios import yaml_text
from tokenfall.simulator.scenarios.files import read_scenario
from tokenfall.simulator.scenarios.format import CallStep, ErrorStep, ScenarioTurn, TextStep, ThoughtStep
from tokenfall.simulator.scenarios.nodes import MAX_BYTES, MAX_DEPTH, MAX_VALUES, InvalidScenario
from tokenfall.simulator.values import Spread


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def either_loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with and without libyaml."""
    monkeypatch.setattr(yaml_text, "LOADER", getattr(yaml, request.param))


def turns(text: str, name: str = "s.yaml") -> tuple[ScenarioTurn, ...]:
    return read_scenario(text.encode(), name=name).turns


def refusal(content: str | bytes, name: str = "s.yaml") -> InvalidScenario:
    with pytest.raises(InvalidScenario) as raised:
        read_scenario(content if isinstance(content, bytes) else content.encode(), name=name)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(name)
    assert raised.value.__cause__ is None
    return raised.value


def test_turn_with_all_fields() -> None:
    text = """
- when: {last: hi, turn: 2}
  say:
  - think: hm
  - text: well
  - call: {name: f, arguments: {a: [1, 2.5, true, null, "x"]}}
  - call: {name: g}
  - call: {name: h, arguments: "{broken"}
  - error: gone
  sim: gap=20ms
  finish_reason: length
  times: 3
"""
    (turn,) = turns(text)

    assert (turn.number, turn.line, turn.times, turn.finish_reason) == (1, 2, 3, "length")
    assert [(each.subject, each.kind, each.expected) for each in turn.matchers] == [
        ("last", "exact", "hi"),
        ("turn", "exact", 2),
    ]
    assert turn.simulation == Simulation(gap=Spread(0.02))
    arguments = '{"a": [1, 2.5, true, null, "x"]}'
    calls = CallStep("f", arguments), CallStep("g", "{}"), CallStep("h", "{broken")
    assert turn.steps == (ThoughtStep("hm"), TextStep("well"), *calls, ErrorStep("gone"))


def test_turn_without_say_has_no_steps() -> None:
    assert turns("- sim: gap=1s")[0].steps == ()
    assert turns('- say: ""')[0].steps == (TextStep(""),)


def test_json_and_yaml_give_the_same_turns() -> None:
    text = '[\n{"when": {"last": {"contains": "é\\n"}},\n "say": [{"call": {"name": "f", "arguments": {"a": -1e3}}}]}]'

    assert turns(text, "s.json") == turns(text, "s.YML")
    assert turns("\ufeff" + text, "s.json")[0].line == 2


@pytest.mark.usefixtures("either_loader")
@pytest.mark.parametrize("scalar", ["yes", "12:30", "2024-99-99", "0x1f", "1_000", ".inf", "<<"])
def test_plain_scalars_are_texts_per_yaml_1_2(scalar: str) -> None:
    assert turns(f"- say: {scalar}")[0].steps == (TextStep(scalar),)


@pytest.mark.usefixtures("either_loader")
def test_aliases_are_resolved() -> None:
    one, two = turns("- &a {say: &t hi}\n- {say: *t, times: 2}")

    assert one.steps == two.steps == (TextStep("hi"),)


@pytest.mark.usefixtures("either_loader")
@pytest.mark.parametrize(
    ("text", "line", "field", "what"),
    [
        ("", 1, "", "the file is empty"),
        ("say: hi", 1, "", "takes a list of turns, at least one, got a mapping"),
        ("[]", 1, "", "takes a list of turns, at least one, got a list"),
        ("- hi", 1, "turn 1", "takes a mapping with when, say"),
        ("- say: a\n- when: {}", 2, "turn 2", "has neither say nor sim"),
        ("- say: a\n  tims: 1", 2, "turn 1", "unknown key 'tims'; keys: when, say, sim, finish_reason, times"),
        ("- say: a\n  say: b", 2, "'say'", "duplicate key"),
        ("- say: 5", 1, "turn 1: say", "takes a text, or a list of steps, at least one, got 5"),
        ("- say:", 1, "turn 1: say", "got nothing"),
        ("- say: []", 1, "turn 1: say", "takes a text, or a list of steps"),
        ("- say:\n  - text: a\n    call: {name: f}", 2, "turn 1: say[0]", "takes one of text, think, call, error, got"),
        ("- say:\n  - {}", 2, "turn 1: say[0]", "got none"),
        ("- say:\n  - text: true", 2, "turn 1: say[0].text", "takes a text, got true"),
        ("- say:\n  - error: a\n  - text: b", 3, "turn 1: say[1]", "an error must be the last step"),
        ("- say:\n  - call: {arguments: {}}", 2, "turn 1: say[0].call", "has no name"),
        ("- say:\n  - call:\n      name: ''", 3, "turn 1: say[0].call.name", "takes a text that is not empty"),
        ("- say:\n  - call: {name: f, arguments: [1]}", 2, "turn 1: say[0].call.arguments", "takes a mapping, or"),
        ("- say: a\n  when:\n    last: 5", 3, "turn 1: when.last", "takes a text, {contains"),
        ("- say: a\n  when: {last: {}}", 2, "turn 1: when.last", "takes one of contains, pattern, got none"),
        ("- say: a\n  when: {last: {pattern: '('}}", 2, "turn 1: when.last.pattern", "'(' is not a regular expression"),
        ("- {say: a, when: {last: {pattern: " + "x" * 501 + "}}}", 1, "turn 1: when.last.pattern", "at most 500"),
        ("- say: a\n  when: {turn: 0}", 2, "turn 1: when.turn", "takes an integer from 1, got 0"),
        ("- say: a\n  when: {lst: a}", 2, "turn 1: when", "unknown key 'lst'"),
        ("- say: a\n  times: true", 2, "turn 1: times", "takes an integer from 1, got true"),
        ("- say: a\n  sim: gap=20", 2, "turn 1: sim", "gap got '20', takes"),
        ("- say: a\n  sim: script=b.yaml", 2, "turn 1: sim", "cannot select another"),
        ("- say: a\n  finish_reason: done", 2, "turn 1: finish_reason", "takes one of stop, length"),
        ("- sim: gap=1s\n  finish_reason: stop", 2, "turn 1: finish_reason", "needs say"),
        ("- say: !!str a", 1, "", "the tag 'tag:yaml.org,2002:str': tags"),
        ("- say: !!python/object/apply:os.system [id]", 1, "", "tags are not supported"),
        ("- say: *a", 1, "", "the alias 'a' is undefined"),
        ("- &a [*a]", 1, "", "or recursive"),
        ("- say: a\n---\n- say: b", 2, "", "a second document"),
        ("- [1]: 2", 1, "", "a key must be a text"),
        ("- &a x\n- *a : 2", 2, "", "a key must be a text"),
        ("- say: a\n  b: c: d", 2, "", "invalid YAML: "),
        ("- \x01", 0, "", "invalid YAML: "),
        ('- "\\ud800"', 1, "", ""),
        ('- "\\U00110000"', None, "", "invalid YAML: "),
        ('- "\\UFFFFFFFF"', None, "", "invalid YAML: "),
        ("- 99999999999999999999", 1, "", "does not fit into 64 bits"),
        ("- 1e999", 1, "", "does not fit into 64 bits"),
        ("[" * (MAX_DEPTH + 1), 1, "", f"nested more than {MAX_DEPTH} deep"),
        ("- &a " + "[" * 40 + "]" * 40 + "\n- " + "[" * 30 + "*a" + "]" * 30, 2, "", "nested more than"),
        pytest.param("[" + "1," * MAX_VALUES + "1]", 1, "", f"more than {MAX_VALUES} values", marks=pytest.mark.slow),
    ],
)
def test_error_has_line_and_field(text: str, line: int | None, field: str, what: str) -> None:
    refused = refusal(text)

    assert what in str(refused)
    assert refused.field == field
    assert line is None or refused.line == line


def test_nested_aliases_count_all_their_values() -> None:
    lines = ["- &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]

    assert "more than" in str(refusal("\n".join(lines)))


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b'[\n{"say": 5}]', 2, "turn 1: say: takes a text"),
        (b'[\n\n{"say": "a",}]', 3, "trailing comma"),
        (b"", 1, "truncated"),
        (b"[" * 100_000, 0, "nested too deep"),
        (b"[" * 100 + b"]" * 100, 1, "nested more than 64"),
        (b'[{"say": "a", "say": "b"}]', 1, "duplicate key"),
        (b'[{"say": "a\\\\\\"[{\\n"},\n{"times": 0}]', 2, "turn 2: has neither"),
        (b"\n[" + b"9" * 30 + b"]", 2, "64 bits"),
        (b"[" + b"9" * 5000 + b"]", None, ""),
        (b"[1e999]", None, ""),
        (b"[\n\n\xff]", 3, "not UTF-8"),
        (b" " * (MAX_BYTES + 1), 0, "larger than"),
    ],
)
def test_json_error_has_its_line(content: bytes, line: int | None, what: str) -> None:
    refused = refusal(content, "s.json")

    assert what in str(refused)
    assert line is None or refused.line == line


def test_unknown_file_suffix_is_refused() -> None:
    assert "a .yaml, .yml or .json file" in str(refusal("[]", "s.toml"))


# Arbitrary content

WORDS = [
    *("when", "say", "sim", "times", "finish_reason", "last", "system", "model", "turn", "tool_result", "contains"),
    *("pattern", "text", "think", "call", "error", "name", "arguments", "stop", "gap=1s", "(", ".*"),
]
words = st.sampled_from(WORDS) | st.text(max_size=4)
scalars = words | st.integers(-1, 3) | st.none() | st.booleans() | st.floats() | st.integers()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=20
)
steps = st.fixed_dictionaries({}, optional={"text": scalars, "think": words, "call": values, "error": words})
likely = st.lists(
    st.fixed_dictionaries(
        {"say": words | st.lists(steps, max_size=3)},
        optional={"when": st.dictionaries(words, values, max_size=2), "sim": scalars, "times": scalars},
    ),
    max_size=3,
)


def loads_or_is_refused(content: bytes, name: str) -> bool:
    try:
        read_scenario(content, name=name)
    except InvalidScenario as error:
        lines = str(error).splitlines()
    else:
        return True
    assert len(lines) == 1
    return False


@given(values | likely)
def test_any_json_value_loads_or_is_refused(value: object) -> None:
    loads_or_is_refused(msgspec.json.encode(value), "s.json")


@given(values | likely, st.sampled_from([None, True, False]))
def test_any_yaml_value_loads_or_is_refused(value: object, flow: bool | None) -> None:
    loads_or_is_refused(yaml.safe_dump(value, default_flow_style=flow).encode(errors="replace"), "s.yaml")


@given(
    st.binary()
    | st.text().map(lambda text: text.encode(errors="replace"))
    | st.lists(st.sampled_from([*WORDS, *"-:[]{},&*!|>%@`'\"#?~\n\t ", "\\u", "\\U", "1e9", "---"])).map(
        lambda pieces: "".join(pieces).encode()
    )
)
def test_any_text_loads_or_is_refused(content: bytes) -> None:
    loads_or_is_refused(content, "s.yaml")
    loads_or_is_refused(content, "s.json")
    loads_or_is_refused(b"- say: " + content, "s.yaml")


@given(values)
def test_arguments_text_is_unchanged(value: object) -> None:
    text = msgspec.json.encode([{"say": [{"call": {"name": "f", "arguments": {"a": value}}}]}])
    if loads_or_is_refused(text, "s.json"):
        (step,) = turns(text.decode(), "s.json")[0].steps
        assert isinstance(step, CallStep)
        assert msgspec.json.decode(step.arguments) == msgspec.json.decode(msgspec.json.encode({"a": value}))
