"""Responses with the `openai` client."""

import json
from typing import Any

import pytest

from tests.sdk.prompts import (
    BOTH,
    FUNCTIONS,
    MESSAGES,
    MODEL,
    PIXEL,
    QUESTION,
    WEATHER,
    Weather,
    check_arguments,
    user,
)

STREAM_MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
TOOLS: Any = [{"type": "function", "strict": False, **function} for function in FUNCTIONS]


def create_response(client: Any, input_: Any, *, stream: bool, **fields: Any) -> Any:
    """Return the response, or the one that the client assembles from the stream."""
    if not stream:
        return client.responses.create(model=MODEL, input=input_, **fields)
    with client.responses.stream(model=MODEL, input=input_, **fields) as events:
        return events.get_final_response()


def calls_of(response: Any) -> list[Any]:
    return [item for item in response.output if item.type == "function_call"]


def test_stream_equals_the_non_streaming_response_token_by_token(openai: Any) -> None:
    whole = create_response(openai, QUESTION, stream=False)
    events = list(openai.responses.create(model=MODEL, input=QUESTION, stream=True))
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(texts) == whole.output_text
    assert len(texts) == whole.usage.output_tokens > 10
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == whole.output_text
    assert events[-1].response.usage == whole.usage
    assert whole.status == events[-1].response.status == "completed"


async def test_async_client_gets_the_same_response(async_openai: Any) -> None:
    whole = await async_openai.responses.create(model=MODEL, input=MESSAGES)
    async with async_openai.responses.stream(model=MODEL, input=MESSAGES) as events:
        assert (await events.get_final_response()).output_text == whole.output_text


@STREAM_MODES
def test_tools_are_called_and_their_results_get_a_response(openai: Any, *, stream: bool) -> None:
    first = create_response(openai, BOTH, stream=stream, tools=TOOLS)
    calls = calls_of(first)
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    for call in calls:
        check_arguments(call.name, call.arguments)
    assistant_items = [
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
        for call in calls
    ]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "Rain."} for call in calls]
    final_response = create_response(openai, [user(BOTH), *assistant_items, *results], stream=stream, tools=TOOLS)
    assert final_response.output_text
    assert calls_of(final_response) == []


@STREAM_MODES
@pytest.mark.parametrize(
    ("question", "fields", "called"),
    [
        (WEATHER, {"tool_choice": "none"}, []),
        ("Hello", {"tool_choice": "required"}, ["get_weather"]),
        (WEATHER, {"tool_choice": {"type": "function", "name": "get_time"}}, ["get_time"]),
        (BOTH, {"parallel_tool_calls": False}, ["get_weather"]),
    ],
    ids=["none", "required", "named", "one-at-a-time"],
)
def test_tool_choice_is_respected(
    openai: Any, question: str, fields: dict[str, Any], called: list[str], *, stream: bool
) -> None:
    response = create_response(openai, question, stream=stream, tools=TOOLS, **fields)
    assert [call.name for call in calls_of(response)] == called


def test_response_is_parsed_into_its_model(openai: Any) -> None:
    whole = openai.responses.parse(model=MODEL, input=MESSAGES, text_format=Weather)
    assert isinstance(whole.output_parsed, Weather)
    with openai.responses.stream(model=MODEL, input=MESSAGES, text_format=Weather) as events:
        assert events.get_final_response().output_parsed == whole.output_parsed


@STREAM_MODES
def test_json_object_format_returns_an_object(openai: Any, *, stream: bool) -> None:
    response = create_response(openai, MESSAGES, stream=stream, text={"format": {"type": "json_object"}})
    assert isinstance(json.loads(response.output_text), dict)


@STREAM_MODES
def test_reasoning_is_sent_as_a_summary(openai: Any, *, stream: bool) -> None:
    response = create_response(openai, MESSAGES, stream=stream, reasoning={"effort": "medium", "summary": "auto"})
    thought, message = response.output
    assert thought.type == "reasoning"
    assert thought.summary[0].text
    assert message.type == "message"
    assert 0 < response.usage.output_tokens_details.reasoning_tokens < response.usage.output_tokens


@STREAM_MODES
def test_token_limit_is_exact(openai: Any, *, stream: bool) -> None:
    if stream:
        events = list(openai.responses.create(model=MODEL, input=MESSAGES, stream=True, max_output_tokens=16))
        assert sum(event.type == "response.output_text.delta" for event in events) == 16
        assert events[-1].type == "response.incomplete"
        response = events[-1].response
    else:
        response = create_response(openai, MESSAGES, stream=False, max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 16


def test_images_and_instructions_are_accepted(openai: Any) -> None:
    image = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"}
    message = {"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, image]}
    assert create_response(openai, [message], stream=False, instructions="Be brief.").output_text
