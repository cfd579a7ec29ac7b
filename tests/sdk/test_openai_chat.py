"""Chat completions with the `openai` client."""

import json
from typing import Any

import pytest

from tests.sdk.prompts import BOTH, MESSAGES, MODEL, PIXEL, TOOLS, WEATHER, Weather, check_arguments, user

STREAM_MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def completion(client: Any, messages: Any, *, stream: bool, **fields: Any) -> Any:
    """Return the response, or the one that the client assembles from the stream."""
    if not stream:
        return client.chat.completions.create(model=MODEL, messages=messages, **fields)
    with client.chat.completions.stream(model=MODEL, messages=messages, **fields) as events:
        return events.get_final_completion()


def test_stream_equals_the_non_streaming_response_token_by_token(openai: Any) -> None:
    whole = completion(openai, MESSAGES, stream=False)
    chunks = list(
        openai.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(texts) == whole.choices[0].message.content
    assert len(texts) == whole.usage.completion_tokens > 10
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert [chunk.choices[0].finish_reason for chunk in chunks[-3:-1]] == [None, "stop"]
    assert {(chunk.id, chunk.model, chunk.object) for chunk in chunks} == {
        (chunks[0].id, MODEL, "chat.completion.chunk")
    }


def test_a_stream_without_stream_options_has_no_usage(openai: Any) -> None:
    chunks = list(openai.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


async def test_async_client_gets_the_same_response(async_openai: Any) -> None:
    whole = await async_openai.chat.completions.create(model=MODEL, messages=MESSAGES)
    stream = await async_openai.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(texts) == whole.choices[0].message.content


@STREAM_MODES
def test_tools_are_called_and_their_results_get_a_response(openai: Any, *, stream: bool) -> None:
    first = completion(openai, [user(BOTH)], stream=stream, tools=TOOLS).choices[0]
    calls = first.message.tool_calls
    assert first.finish_reason == "tool_calls"
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert len({call.id for call in calls}) == 2
    for call in calls:
        check_arguments(call.function.name, call.function.arguments)
    results = [{"role": "tool", "tool_call_id": call.id, "content": "Rain."} for call in calls]
    assistant_message = first.message.model_dump(exclude_none=True, exclude={"parsed"}, warnings=False)
    final_response = completion(openai, [user(BOTH), assistant_message, *results], stream=stream, tools=TOOLS).choices[
        0
    ]
    assert final_response.message.content
    assert not final_response.message.tool_calls


@STREAM_MODES
def test_deprecated_function_is_called_and_its_result_gets_a_response(openai: Any, *, stream: bool) -> None:
    functions = [tool["function"] for tool in TOOLS]
    first = completion(openai, [user(BOTH)], stream=stream, functions=functions).choices[0]
    call = first.message.function_call
    assert (first.finish_reason, first.message.tool_calls, call.name) == ("function_call", None, "get_weather")
    check_arguments(call.name, call.arguments)
    messages = [
        user(BOTH),
        {"role": "assistant", "content": None, "function_call": {"name": call.name, "arguments": call.arguments}},
        {"role": "function", "name": call.name, "content": "Rain."},
    ]
    last = completion(openai, messages, stream=stream, functions=functions).choices[0]
    assert (last.finish_reason, last.message.function_call) == ("stop", None)
    assert last.message.content


@STREAM_MODES
@pytest.mark.parametrize(
    ("question", "fields", "called"),
    [
        (WEATHER, {"tool_choice": "none"}, []),
        (WEATHER, {"tool_choice": "auto"}, ["get_weather"]),
        ("Hello", {"tool_choice": "required"}, ["get_weather"]),
        (WEATHER, {"tool_choice": {"type": "function", "function": {"name": "get_time"}}}, ["get_time"]),
        (BOTH, {"parallel_tool_calls": False}, ["get_weather"]),
    ],
    ids=["none", "auto", "required", "named", "one-at-a-time"],
)
def test_tool_choice_is_respected(
    openai: Any, question: str, fields: dict[str, Any], called: list[str], *, stream: bool
) -> None:
    choice = completion(openai, [user(question)], stream=stream, tools=TOOLS, **fields).choices[0]
    assert [call.function.name for call in choice.message.tool_calls or ()] == called
    assert bool(choice.message.content) is (called == [])


def test_response_is_parsed_into_its_model(openai: Any) -> None:
    whole = openai.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Weather)
    assert isinstance(whole.choices[0].message.parsed, Weather)
    with openai.chat.completions.stream(model=MODEL, messages=MESSAGES, response_format=Weather) as events:
        assert events.get_final_completion().choices[0].message.parsed == whole.choices[0].message.parsed


@STREAM_MODES
def test_json_object_format_returns_an_object(openai: Any, *, stream: bool) -> None:
    response = completion(openai, MESSAGES, stream=stream, response_format={"type": "json_object"})
    assert isinstance(json.loads(response.choices[0].message.content), dict)


@STREAM_MODES
def test_reasoning_is_sent_on_request(openai: Any, *, stream: bool) -> None:
    thinking = completion(openai, MESSAGES, stream=stream, reasoning_effort="medium").choices[0].message
    assert thinking.reasoning_content
    assert thinking.content
    assert not hasattr(completion(openai, MESSAGES, stream=stream).choices[0].message, "reasoning_content")


@STREAM_MODES
def test_stop_ends_the_response_before_its_text(openai: Any, *, stream: bool) -> None:
    text = completion(openai, MESSAGES, stream=False).choices[0].message.content
    word = text.split()[5]
    stopped = completion(openai, MESSAGES, stream=stream, stop=["no such text", word]).choices[0]
    assert stopped.message.content == text[: text.index(word)]
    assert stopped.finish_reason == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@STREAM_MODES
def test_token_limit_is_exact(openai: Any, field: str, *, stream: bool) -> None:
    if stream:  # the client raises LengthFinishReasonError only when it parses
        options = {"stream": True, "stream_options": {"include_usage": True}, field: 7}
        chunks = list(openai.chat.completions.create(model=MODEL, messages=MESSAGES, **options))
        assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) == 7
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
        usage = chunks[-1].usage
    else:
        response = completion(openai, MESSAGES, stream=False, **{field: 7})
        assert response.choices[0].finish_reason == "length"
        usage = response.usage
    assert usage.completion_tokens == 7
    assert usage.total_tokens == usage.prompt_tokens + 7


@STREAM_MODES
def test_n_choices_are_returned(openai: Any, *, stream: bool) -> None:
    choices = completion(openai, MESSAGES, stream=stream, n=3).choices
    assert [choice.index for choice in choices] == [0, 1, 2]
    assert all(choice.message.content and choice.finish_reason == "stop" for choice in choices)


@STREAM_MODES
def test_log_probabilities_are_those_of_the_tokens(openai: Any, *, stream: bool) -> None:
    choice = completion(openai, MESSAGES, stream=stream, logprobs=True, top_logprobs=2).choices[0]
    tokens = choice.logprobs.content
    assert "".join(token.token for token in tokens) == choice.message.content
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens)
    assert bytes(tokens[0].bytes).decode() == tokens[0].token


def test_images_are_accepted(openai: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}}
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}
    assert completion(openai, [message], stream=False).choices[0].message.content
