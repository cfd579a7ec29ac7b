"""Chat completions with the `groq` client, whose paths begin with `/openai`."""

import json
from typing import Any

import groq as library
import pytest

from tests.sdk.conftest import SiteUnderTest
from tests.sdk.prompts import BOTH, MESSAGES, MODEL, PIXEL, TOOLS, WEATHER, Weather, check_arguments, user


def complete(client: Any, messages: Any, **fields: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=messages, **fields)


def test_stream_equals_the_non_streaming_response_token_by_token(groq: Any, site: SiteUnderTest) -> None:
    whole = complete(groq, MESSAGES)
    chunks = list(complete(groq, MESSAGES, stream=True))
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(texts) == whole.choices[0].message.content
    assert len(texts) == whole.usage.completion_tokens > 10
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    if not site.relayed:  # an upstream sends no `x_groq`
        assert chunks[0].x_groq.id
        assert chunks[-1].x_groq.usage.completion_tokens == len(texts)
        assert chunks[-1].x_groq.usage.total_time > 0
        assert whole.x_groq.id
        assert whole.usage.total_time > 0


async def test_async_client_gets_the_same_response(async_groq: Any) -> None:
    whole = await complete(async_groq, MESSAGES)
    texts = [
        chunk.choices[0].delta.content or ""
        async for chunk in await complete(async_groq, MESSAGES, stream=True)
        if chunk.choices
    ]
    assert "".join(texts) == whole.choices[0].message.content


def test_tools_are_called_and_their_results_get_a_response(groq: Any) -> None:
    first = complete(groq, [user(BOTH)], tools=TOOLS).choices[0]
    calls = first.message.tool_calls
    assert first.finish_reason == "tool_calls"
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    for call in calls:
        check_arguments(call.function.name, call.function.arguments)
    results = [{"role": "tool", "tool_call_id": call.id, "content": "Rain."} for call in calls]
    assistant_message = first.message.model_dump(exclude_none=True)
    assert complete(groq, [user(BOTH), assistant_message, *results], tools=TOOLS).choices[0].message.content


def test_streamed_tool_call_parts_form_one_call(groq: Any) -> None:
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for chunk in complete(groq, [user(BOTH)], tools=TOOLS, stream=True):
        for part in (chunk.choices and chunk.choices[0].delta.tool_calls) or ():
            if part.function.name:
                names[part.index] = part.function.name
            arguments[part.index] = arguments.get(part.index, "") + (part.function.arguments or "")
    assert names == {0: "get_weather", 1: "get_time"}
    for index, name in names.items():
        check_arguments(name, arguments[index])


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", []),
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "get_time"}}, ["get_time"]),
    ],
    ids=["none", "required", "named"],
)
def test_tool_choice_is_respected(groq: Any, choice: Any, called: list[str]) -> None:
    message = complete(groq, [user(WEATHER)], tools=TOOLS, tool_choice=choice).choices[0].message
    assert [call.function.name for call in message.tool_calls or ()] == called


def test_response_has_the_requested_format(groq: Any) -> None:
    schema = {"name": "weather", "schema": Weather.model_json_schema()}
    fitting = complete(groq, MESSAGES, response_format={"type": "json_schema", "json_schema": schema})
    Weather.model_validate_json(fitting.choices[0].message.content)
    plain = complete(groq, MESSAGES, response_format={"type": "json_object"})
    assert isinstance(json.loads(plain.choices[0].message.content), dict)


def test_reasoning_is_sent_on_request(groq: Any, site: SiteUnderTest) -> None:
    field = "reasoning_content" if site.relayed else "reasoning"  # name of the upstream or of Groq
    message = complete(groq, MESSAGES, reasoning_format="parsed").choices[0].message
    deltas = [
        chunk.choices[0].delta
        for chunk in complete(groq, MESSAGES, reasoning_format="parsed", stream=True)
        if chunk.choices
    ]
    assert getattr(message, field)
    assert "".join(getattr(delta, field, None) or "" for delta in deltas) == getattr(message, field)
    assert getattr(complete(groq, MESSAGES, reasoning_format="hidden").choices[0].message, field, None) is None


def test_response_is_limited_and_stopped(groq: Any) -> None:
    bounded = complete(groq, MESSAGES, max_completion_tokens=7)
    assert bounded.usage.completion_tokens == 7
    assert bounded.choices[0].finish_reason == "length"
    text = complete(groq, MESSAGES).choices[0].message.content
    word = text.split()[5]
    assert complete(groq, MESSAGES, stop=word).choices[0].message.content == text[: text.index(word)]


def test_images_are_accepted(groq: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert complete(groq, [{"role": "user", "content": [{"type": "text", "text": "This?"}, image]}]).choices


def test_models_and_embeddings_are_below_the_same_path(groq: Any, site: SiteUnderTest) -> None:
    assert "sim" in [model.id for model in groq.models.list().data]
    assert groq.models.retrieve("sim").id == "sim"
    if site.relayed:
        with pytest.raises(library.NotFoundError):
            groq.models.retrieve("nobody")
    else:
        assert groq.models.retrieve("nobody").id == "nobody"
    assert len(groq.embeddings.create(model=MODEL, input="One").data[0].embedding) == 1536
