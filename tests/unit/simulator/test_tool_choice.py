from typing import Any

import pytest

from tokenfall.messages import ChatRequest, Message, Tool, ToolCall
from tokenfall.simulator.tool_choice import MENTIONS_SEARCHED, tools_to_call
from tokenfall.wire.dialect import UNBOUNDED

WEATHER, CLOCK = Tool("weather"), Tool("clock")
CALLED_WEATHER = (
    Message("user", "weather"),
    Message("assistant", "", tool_calls=(ToolCall("call_0", "weather", '{"city": "X"}'),)),
    Message("tool", "rain", tool_call_id="call_0"),
)
"""A turn in which the weather tool was called."""


def called_tools(question: str = "", **fields: Any) -> list[str]:
    """The names of the tools that a response to `question`, or to the `messages` of `fields`, calls."""
    given = {"messages": (Message("user", question),), "tools": (WEATHER, CLOCK), **fields}
    return [tool.name for tool in tools_to_call(ChatRequest(model="sim", max_tokens=UNBOUNDED, **given))]


@pytest.mark.parametrize(
    ("question", "fields", "called"),
    [
        ("What weather?", {}, ["weather"]),
        ("The clock and the weather?", {}, ["weather", "clock"]),
        ("The clock and the weather?", {"parallel_tool_calls": False}, ["weather"]),
        ("Hello", {}, []),
        ("a clockwork, a weather_map", {}, []),
        ("clockwork clock", {}, ["clock"]),
        ("The clock?", {"tool_choice": "required"}, ["clock"]),
        ("Hello", {"tool_choice": "required"}, ["weather"]),
        ("The weather?", {"tool_choice": "clock"}, ["clock"]),
        ("The weather?", {"tool_choice": "none"}, []),
        ("The weather?", {"tool_choice": "unknown"}, []),
        ("The weather?", {"tools": ()}, []),
    ],
)
def test_mentioned_or_chosen_tools_are_called(question: str, fields: dict[str, Any], called: list[str]) -> None:
    assert called_tools(question, **fields) == called


def test_tools_are_mentioned_in_the_last_user_message() -> None:
    messages = (Message("user", "clock"), Message("assistant", "weather"), Message("user", "hm"))

    assert called_tools(messages=messages) == []
    assert called_tools(messages=messages[:2]) == ["clock"]
    assert called_tools(messages=()) == []


def test_no_tool_is_called_after_its_result() -> None:
    assert called_tools(messages=CALLED_WEATHER) == []
    assert called_tools(messages=(*CALLED_WEATHER, Message("user", "weather"))) == ["weather"]


@pytest.mark.parametrize(
    "after",
    [
        Message("system", "Be brief."),
        Message("assistant", "The weather"),
        Message("user", "Please continue."),
    ],
)
def test_messages_after_tool_results_do_not_repeat_a_call(after: Message) -> None:
    messages = (*CALLED_WEATHER, after)

    assert called_tools(messages=messages) == []
    assert called_tools(messages=messages, tool_choice="required") == ["clock"], "a tool not called yet"


def test_calls_of_earlier_turns_do_not_count() -> None:
    messages = (*CALLED_WEATHER, Message("assistant", "It rains."), Message("user", "the weather once more"))
    tools = (CLOCK, WEATHER)

    assert called_tools(messages=messages, tools=tools) == ["weather"]
    assert called_tools(messages=messages, tools=tools, tool_choice="required") == ["weather"]


@pytest.mark.parametrize(
    ("question", "called"),
    [
        ("call find-files", ["find-files"]),
        ("call find.", ["find"]),
        ("call `find` - now", ["find"]),
        ("call find, find-files", ["find", "find-files"]),
        ("x.find", []),
    ],
)
def test_tool_name_inside_another_name_is_not_a_mention(question: str, called: list[str]) -> None:
    assert called_tools(question, tools=(Tool("find"), Tool("find-files"), Tool("files"))) == called


@pytest.mark.parametrize(
    ("choice", "called"), [("required", ["clock"]), ("weather", ["weather"]), ("clock", ["clock"]), ("none", [])]
)
def test_required_call_is_made_after_tool_results(choice: str, called: list[str]) -> None:
    assert called_tools(messages=CALLED_WEATHER, tool_choice=choice) == called


def test_required_call_is_repeated_if_all_tools_were_called() -> None:
    assert called_tools(messages=CALLED_WEATHER, tools=(WEATHER,), tool_choice="required") == ["weather"]


def test_tool_names_are_searched_only_in_the_beginning_of_the_question() -> None:
    far = MENTIONS_SEARCHED // len("weather clock")
    near = far - len("clock")

    assert called_tools(" " * near + "clock") == ["clock"]
    assert called_tools(" " * far + "clock") == []
