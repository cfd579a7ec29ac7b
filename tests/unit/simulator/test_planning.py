import json
import re
from itertools import islice
from typing import Any

import jsonschema
import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest, Grammar, Message, Tool, ToolCall
from tokenfall.simulator.grammar import parse
from tokenfall.simulator.paragraph import PARAGRAPH, WORDS
from tokenfall.simulator.planning import (
    CUSTOM_INPUT,
    MAX_ECHOED_BYTES,
    MAX_RESPONSE_TOKENS,
    THOUGHTS,
    Plan,
    PlannedResponse,
    plan,
    prompt_tokens,
)
from tokenfall.simulator.values import MAX_TOKENS
from tokenfall.slicing.computation import at_once
from tokenfall.tokens import count_tokens, tokens_of
from tokenfall.wire.dialect import UNBOUNDED

PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PLACE_TEXT, NOTHING_TEXT = json.dumps(PLACE).encode(), b'{"type": "nothing"}'
WEATHER, CLOCK = Tool("weather", "", PLACE_TEXT), Tool("clock")
THOUGHT_TOKENS = count_tokens(THOUGHTS)


def chat_request(question: str = "Why so slow?", **fields: Any) -> ChatRequest:
    given = {"messages": (Message("user", question),), "model": "sim", "max_tokens": UNBOUNDED, **fields}
    return ChatRequest(**given)


def planned(request: ChatRequest, simulation: str = "") -> Plan:
    plan_ = at_once(plan(request, parse(simulation), call_ids="call_"))
    token_count = sum(len(part.tokens) for choice in plan_.choices for part in choice.parts)
    assert plan_.usage.completion_tokens == token_count
    assert plan_.usage.prompt_tokens == at_once(prompt_tokens(request))
    return plan_


def one(request: ChatRequest, simulation: str = "") -> PlannedResponse:
    (choice,) = planned(request, simulation).choices
    return choice


def text(choice: PlannedResponse) -> str:
    return "".join(token for part in choice.parts if not part.thought for token in part.tokens)


def calls(choice: PlannedResponse) -> list[str]:
    return [part.call.name for part in choice.parts if part.call is not None]


# Prose


def test_prose_has_its_natural_length_without_a_limit() -> None:
    choice = one(chat_request())

    assert (text(choice), choice.reason, choice.stop) == (PARAGRAPH, "stop", "")
    assert len(choice.parts[0].tokens) == len(WORDS)


@pytest.mark.parametrize(
    ("fields", "simulation", "length", "reason"),
    [
        ({}, "tokens=7", 7, "stop"),
        ({}, "tokens=0", 0, "stop"),
        ({}, "tokens=500", 500, "stop"),
        ({"max_tokens": 7}, "tokens=7", 7, "stop"),
        ({"max_tokens": 6}, "tokens=7", 6, "length"),
        ({"max_tokens": 1}, "", 1, "length"),
        ({"max_tokens": 0}, "", 0, "length"),
        ({"min_tokens": 9}, "tokens=7", 9, "stop"),
        ({"min_tokens": 5}, "tokens=7", 7, "stop"),
        ({"min_tokens": 9, "max_tokens": 8}, "tokens=7", 8, "length"),
        ({"ignore_eos": True, "max_tokens": 300}, "tokens=7", 300, "length"),
        ({"ignore_eos": True}, "tokens=7", MAX_TOKENS, "length"),
        ({"max_tokens": 20, "reasoning": True}, "tokens=7", 20 - THOUGHT_TOKENS, "length"),
        ({"max_tokens": THOUGHT_TOKENS + 7, "reasoning": True}, "tokens=7", 7, "stop"),
        ({"max_tokens": 99, "reasoning": True, "ignore_eos": True}, "", 99 - THOUGHT_TOKENS, "length"),
    ],
)
def test_prose_length_depends_on_limit_and_settings(
    fields: dict[str, Any], simulation: str, length: int, reason: str
) -> None:
    choice = one(chat_request(**fields), simulation)

    assert (sum(len(part.tokens) for part in choice.parts if not part.thought), choice.reason) == (length, reason)


def test_reasoning_precedes_text_and_is_sent_only_on_request() -> None:
    thought, text_part = one(chat_request(reasoning=True), "tokens=3").parts

    assert ("".join(thought.tokens), thought.thought, text_part.thought) == (THOUGHTS, True, False)
    assert not any(part.thought for part in one(chat_request()).parts)


@pytest.mark.parametrize("most", [1, THOUGHT_TOKENS - 1, THOUGHT_TOKENS])
def test_reasoning_counts_towards_the_token_limit(most: int) -> None:
    choice = one(chat_request(reasoning=True, max_tokens=most))

    assert [len(part.tokens) for part in choice.parts] == [most]
    assert choice.reason == "length"


# Stop texts and limits


@pytest.mark.parametrize(
    ("stops", "expected", "stop"),
    [
        (("models",), "Large language ", "models"),
        (("guage mod",), "Large lan", "guage mod"),
        (("Large",), "", "Large"),
        (("nowhere", "models", "language"), "Large ", "language"),
        (("fall. A",), None, ""),
        (("nowhere",), None, ""),
        ((), None, ""),
    ],
)
def test_stop_text_is_found_across_token_boundaries(stops: tuple[str, ...], expected: str | None, stop: str) -> None:
    choice = one(chat_request(stop=stops))

    assert (text(choice), choice.stop, choice.reason) == (PARAGRAPH if expected is None else expected, stop, "stop")
    assert list(choice.parts[-1].tokens) == tokens_of(text(choice))


def test_stop_text_after_the_limit_has_no_effect() -> None:
    stop = f"{WORDS[2]} {WORDS[3]}"

    assert one(chat_request(stop=(stop,), max_tokens=4)).stop == stop
    assert one(chat_request(stop=(stop,), max_tokens=3)).reason == "length"
    assert one(chat_request(stop=(WORDS[3],), max_tokens=3)).reason == "length"


def test_stop_text_is_found_across_two_paragraphs() -> None:
    seam = f"{WORDS[-1]} {WORDS[0]}"
    long = "".join(f" {word}" for word in WORDS)

    assert text(one(chat_request(stop=(seam,)), "tokens=500")) == PARAGRAPH.removesuffix(WORDS[-1])
    assert one(chat_request(stop=(3 * long,)), "tokens=1000").stop == 3 * long
    assert one(chat_request(stop=(long,), ignore_eos=True)).stop == long  # also if the length is unlimited


# Structured output


def test_schema_is_satisfied() -> None:
    choice = one(chat_request(schema=PLACE_TEXT))
    jsonschema.validate(json.loads(text(choice)), PLACE)

    assert (choice.reason, list(choice.parts[0].tokens)) == ("stop", tokens_of(text(choice)))


def test_json_object_format_gives_an_object() -> None:
    assert isinstance(json.loads(text(one(chat_request(json_object=True)))), dict)
    assert one(chat_request(json_object=True, max_tokens=2)).reason == "length"
    assert "fall" not in text(one(chat_request(json_object=True, stop=("fall",))))


@pytest.mark.parametrize(
    "fields", [{"schema": NOTHING_TEXT}, {"tools": (Tool("t", "", NOTHING_TEXT),), "tool_choice": "t"}]
)
def test_unsatisfiable_request_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        planned(chat_request(**fields))


# Tools


def test_response_ends_with_the_called_tools_if_any() -> None:
    called = one(chat_request("What weather?", tools=(WEATHER, CLOCK), schema=PLACE_TEXT))
    text_choice = one(chat_request("Hello", tools=(WEATHER, CLOCK)))

    assert (calls(called), called.reason) == (["weather"], "tool_calls")
    assert (calls(text_choice), text_choice.reason, text(text_choice)) == ([], "stop", PARAGRAPH)


def test_calls_of_all_choices_have_different_ids() -> None:
    choices = planned(chat_request("weather clock", tools=(WEATHER, CLOCK), n=3)).choices
    ids = [part.call.id for choice in choices for part in choice.parts if part.call is not None]

    assert ids == [f"call_{number}" for number in range(6)]


@pytest.mark.parametrize(
    "pattern",
    ["[0-9]{4}-[0-9]{2}", "(?:SELECT|INSERT) [a-z]+;", "a|b", r"add\(\d+, \d+\)", "x*", "^begin .+ end$", "é+"],
)
def test_input_of_a_custom_tool_matches_its_regular_expression(pattern: str) -> None:
    tool = Tool("run", custom=True, grammar=Grammar(pattern, "regex"))
    text = "".join(one(chat_request("run", tools=(tool,))).parts[0].tokens)

    assert text
    assert re.fullmatch(pattern, text)


@pytest.mark.parametrize(
    ("grammar", "why"),
    [
        (Grammar("start: NUMBER", "lark"), "'run': of grammars it supports the syntax regex only"),
        (Grammar("(", "regex"), "pattern"),
        (Grammar("(?i)a", "regex"), "pattern"),
        (Grammar("$a", "regex"), "pattern"),
    ],
)
def test_call_whose_grammar_cannot_be_followed_is_refused(grammar: Grammar, why: str) -> None:
    tool = Tool("run", custom=True, grammar=grammar)
    with pytest.raises(InvalidRequest, match=why):
        one(chat_request("run", tools=(tool,)))
    assert calls(one(chat_request("Hello", tools=(tool,)))) == []


def test_custom_tool_is_called_with_text() -> None:
    part = one(chat_request("run weather", tools=(Tool("run", custom=True), WEATHER))).parts[0]

    assert part.call == ToolCall("call_0", "run", "", custom=True)
    assert "".join(part.tokens) == CUSTOM_INPUT
    assert calls(one(chat_request("run", tools=(Tool("run", custom=True),)))) == ["run"]


def test_call_has_an_id_and_arguments_valid_for_its_schema() -> None:
    first, second = one(chat_request("weather clock", tools=(WEATHER, CLOCK), reasoning=True)).parts[1:]

    assert (first.call, second.call) == (ToolCall("call_0", "weather", ""), ToolCall("call_1", "clock", ""))
    jsonschema.validate(json.loads("".join(first.tokens)), PLACE)
    assert json.loads("".join(second.tokens)) == {}


def test_tool_call_may_be_truncated() -> None:
    choice = one(chat_request("weather", tools=(WEATHER,), max_tokens=1))

    assert ([len(part.tokens) for part in choice.parts], choice.reason) == ([1], "length")


def test_calls_of_one_request_share_the_budget_of_their_schemas() -> None:
    wide = json.dumps({"required": [f"p{number}" for number in range(300)]}).encode()
    tools = tuple(Tool(f"tool_{number}", "", wide) for number in range(8))
    every = " ".join(tool.name for tool in tools)

    assert len(calls(one(chat_request("tool_0", tools=tools)))) == 1
    with pytest.raises(InvalidRequest, match="steps of one request"):
        planned(chat_request(every, tools=tools))


# Complete plans


def test_each_of_n_choices_is_produced_and_counted() -> None:
    plan_ = planned(chat_request(n=3), "tokens=5")

    assert (len(plan_.choices), plan_.usage.completion_tokens) == (3, 15)


def test_plan_has_at_most_the_maximum_number_of_tokens() -> None:
    planned(chat_request(n=2), f"tokens={MAX_RESPONSE_TOKENS // 2}")
    with pytest.raises(InvalidRequest, match="at most 1048576 tokens"):
        planned(chat_request(n=2), f"tokens={MAX_RESPONSE_TOKENS // 2 + 1}")
    with pytest.raises(InvalidRequest):
        planned(chat_request(min_tokens=10_000_000))


def test_prompt_tokens_are_counted_by_the_tokenizer() -> None:
    asking = Message("assistant", "So ", tool_calls=(ToolCall("c", "n", '{"a": 1}'),))
    messages = (Message("system", "Be  brief."), Message("user", "a b\nc"), asking, Message("tool", "x"))

    assert at_once(prompt_tokens(chat_request(messages=messages))) == 2 + 3 + 1 + 2 + 1


@pytest.mark.parametrize(("seed", "simulation"), [(7, ""), (None, "seed=7"), (8, "seed=7")])
def test_same_seed_gives_the_same_response_and_timing(seed: int | None, simulation: str) -> None:
    chance = f"tokens=5..5000,gap=1s~0.5,{simulation}"
    plan_ = [planned(chat_request(seed=seed), chance) for _ in range(2)]

    assert plan_[0].usage == plan_[1].usage == planned(chat_request(seed=7), "tokens=5..5000,gap=1s~0.5").usage
    assert list(islice(plan_[0].gaps, 9)) == list(islice(plan_[1].gaps, 9))
    assert len({planned(chat_request(seed=other), "tokens=5..5000").usage for other in range(5)}) > 1


def test_gaps_follow_the_grammar() -> None:
    assert list(islice(planned(chat_request(), "ttft=1s,gap=20ms").gaps, 3)) == [1.0, 0.02, 0.02]
    assert list(islice(planned(chat_request()).gaps, 2)) == [0.1, 0.1]


# Slices


@pytest.mark.parametrize("simulation", ["text=echo", "tokens=100000,text=echo"])
def test_long_response_is_planned_in_slices(simulation: str) -> None:
    work = plan(chat_request("a b " * 7_500), parse(simulation), call_ids="")
    slices = sum(1 for _ in work)

    assert slices > 5


def test_short_response_is_planned_in_one_slice() -> None:
    for simulation in ("", "text=echo", "text=words", "tokens=100"):
        with pytest.raises(StopIteration):
            next(plan(chat_request(stop=("zz",)), parse(simulation), call_ids=""))


def test_echo_is_bounded_in_characters() -> None:
    with pytest.raises(InvalidRequest, match="echoes no more than 8388608 characters"):
        one(chat_request("a" * 30_000), "text=echo,tokens=300")


@pytest.mark.parametrize("text", ["a", "é", "😀", "\ud800"])
def test_text_to_echo_is_bounded_in_bytes(text: str) -> None:
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    most = MAX_ECHOED_BYTES // size_bytes
    one(chat_request(text * most), "text=echo")
    with pytest.raises(InvalidRequest, match="echoes a text of at most 32768 bytes"):
        one(chat_request(text * (most + 1)), "text=echo")
