import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.errors import NotFound
from tokenfall.messages import ChatRequest, Message, ToolCall
from tokenfall.simulator.scenarios.files import read_scenario
from tokenfall.simulator.scenarios.matching import Scenario
from tokenfall.simulator.scenarios.patterns import SEARCHED
from tokenfall.slicing.computation import at_once


def script(text: str) -> Scenario:
    return read_scenario(text.encode(), name="s.yaml")


def chat_request(*messages: Message, last: str = "", model: str = "sim") -> ChatRequest:
    return ChatRequest(messages=(*messages, *([user(last)] if last else [])), model=model, max_tokens=9)


def user(text: str) -> Message:
    return Message("user", text)


def found(text: str, request: ChatRequest) -> int:
    return at_once(script(text).find(request)).number


def missed(text: str, request: ChatRequest) -> str:
    with pytest.raises(NotFound) as raised:
        at_once(script(text).find(request))
    return raised.value.message


TOOL_LOOP = (
    user("weather?"),
    Message("assistant", "", (ToolCall("call_1", "get_weather", "{}"),)),
    Message("tool", "it rains", tool_call_id="call_1"),
)


@pytest.mark.parametrize(
    ("when", "request_", "holds"),
    [
        ("last: hi", chat_request(last="hi"), True),
        ("last: hi", chat_request(last="hi "), False),
        ("last: hi", chat_request(user("hi"), last="ho"), False),
        ("last: hi", chat_request(user("hi"), Message("assistant", "ho")), True),
        ("last: {contains: i}", chat_request(last="hi"), True),
        ("last: {pattern: '^h.$'}", chat_request(last="hi"), True),
        ("last: {pattern: '^i'}", chat_request(last="hi"), False),
        ("last: hi", chat_request(), False),
        ("system: be brief", chat_request(Message("system", "be brief"), last="hi"), True),
        ('system: "a\\nb"', chat_request(Message("system", "a"), Message("system", "b"), last="hi"), True),
        ("system: {contains: ''}", chat_request(last="hi"), False),
        ("model: sim", chat_request(last="hi", model="sim:gap=1s"), True),
        ("model: sim:gap=1s", chat_request(last="hi", model="sim:gap=1s"), True),
        ("model: gap=1s", chat_request(last="hi", model="sim:gap=1s"), False),
        ("turn: 2", chat_request(user("a"), Message("assistant", "b"), last="hi"), True),
        ("turn: 1", chat_request(user("a"), Message("assistant", "b"), last="hi"), False),
        ("tool_result: get_weather", chat_request(*TOOL_LOOP), True),
        ("tool_result: call_1", chat_request(*TOOL_LOOP), True),
        ("tool_result: it rains", chat_request(*TOOL_LOOP), True),
        ("tool_result: {contains: rain}", chat_request(*TOOL_LOOP), True),
        ("tool_result: other", chat_request(*TOOL_LOOP), False),
        ("tool_result: get_weather", chat_request(*TOOL_LOOP, last="thanks"), False),
        ("last: hi, turn: 1", chat_request(last="hi"), True),
        ("last: hi, turn: 2", chat_request(last="hi"), False),
    ],
)
def test_matcher_matches_or_not(when: str, request_: ChatRequest, holds: bool) -> None:
    assert found(f"- when: {{{when}}}\n  say: a\n- say: b", request_) == (1 if holds else 2)


def test_pattern_searches_only_the_first_characters() -> None:
    text = "- {when: {last: {pattern: x}}, say: a}\n- say: b"

    assert found(text, chat_request(last="-" * (SEARCHED - 1) + "x")) == 1
    assert found(text, chat_request(last="-" * SEARCHED + "x")) == 2


def test_matching_many_turns_is_sliced() -> None:
    turns = "".join(f"- {{when: {{last: {{pattern: x{number}}}}}, say: a}}\n" for number in range(20))
    looking = script(turns).find(chat_request(last="-"))

    assert [next(looking) for _ in range(19)] == [None] * 19
    with pytest.raises(NotFound):
        at_once(looking)


def test_exact_is_preferred_to_pattern_and_pattern_to_none() -> None:
    text = """
- say: any
- {when: {last: {pattern: h}}, say: pattern}
- {when: {last: {contains: h}}, say: contains}
- {when: {last: hi}, say: exact}
- {when: {last: hi}, say: too late}
"""
    assert [found(text, chat_request(last=last)) for last in ("hi", "ho", "a")] == [4, 2, 1]


def test_after_a_tool_result_turns_with_tool_result_are_preferred() -> None:
    text = """
- {when: {last: "weather?"}, say: [{call: {name: get_weather}}]}
- {when: {tool_result: {contains: snow}}, say: snow}
- {when: {tool_result: {contains: rain}}, say: rain}
"""
    assert found(text, chat_request(TOOL_LOOP[0])) == 1
    assert found(text, chat_request(*TOOL_LOOP)) == 3


def test_turn_with_times_is_used_that_often() -> None:
    used = script("- {when: {last: hi}, say: a, times: 2}\n- {say: b, times: 1}")

    assert [at_once(used.find(chat_request(last="hi"))).number for _ in range(3)] == [1, 1, 2]
    with pytest.raises(NotFound, match=r"turn 1 \(line 1\): used 2 of 2 times; turn 2 \(line 2\): used 1 of 1 times"):
        at_once(used.find(chat_request(last="hi")))


def test_nearest_turns_are_in_the_error_and_a_miss_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    text = """
- {when: {last: good bye, system: x}, say: a}
- {when: {last: good evening}, say: b}
- {when: {last: {pattern: z+}}, say: c}
- {when: {last: the weather in Paris}, say: d}
- {when: {turn: 2}, say: e}
"""
    with caplog.at_level(logging.WARNING):
        message = missed(text, chat_request(last="the weather in Rome\n" + "x" * 100))

    preview = "'the weather in Rome\\n" + "x" * 39 + "…'"
    assert message == (
        "no turn of the scenario s.yaml matches this request; nearest: "
        f"turn 4 (line 5): last expected 'the weather in Paris', got {preview}; "
        f"turn 2 (line 3): last expected 'good evening', got {preview}; "
        f"turn 3 (line 4): last expected pattern 'z+', got {preview}"
    )
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "no turn of the scenario s.yaml matches a request; the error names the nearest turns")
    ]


def test_error_lists_each_failed_matcher() -> None:
    text = "- {when: {last: hi, turn: 2, system: x, model: {contains: gpt}}, say: a}"

    assert missed(text, chat_request(last="hi", model="sim:a")).endswith(
        "turn 1 (line 1): turn expected 2, got 1, system expected 'x', got none, "
        "model expected contains 'gpt', got 'sim:a' or 'sim'"
    )


words = st.sampled_from(["a", "b", "ab", "sim"])
whens = st.dictionaries(
    st.sampled_from(["last", "system", "model", "tool_result"]),
    words | words.map(lambda word: {"contains": word}) | words.map(lambda word: {"pattern": word}),
    max_size=2,
)
messages = st.lists(st.builds(Message, st.sampled_from(["user", "system", "assistant", "tool"]), words), max_size=4)


@given(st.lists(whens, min_size=1, max_size=6), messages, words)
def test_matching_is_deterministic_and_keeps_file_order(
    whens: list[dict[str, object]], messages: list[Message], model: str
) -> None:
    text = repr([{"when": when, "say": "x"} for when in whens])
    request = ChatRequest(messages=tuple(messages), model=model, max_tokens=1)
    results: set[int | str] = set()
    for _ in range(3):
        try:
            results.add(at_once(script(text).find(request)).number)
        except NotFound as error:
            results.add(error.message)
    assert len(results) == 1
    if {} in whens:
        assert all(isinstance(result, int) for result in results)
