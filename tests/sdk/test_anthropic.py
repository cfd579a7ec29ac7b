"""Messages with the `anthropic` client."""

from typing import Any

import anthropic as library
import pytest

from tests.sdk.conftest import SiteUnderTest
from tests.sdk.prompts import BOTH, FITS, MESSAGES, MODEL, PIXEL, WEATHER, Weather, user

STREAM_MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
TOOLS: Any = [
    {"name": name, "description": model.__doc__, "input_schema": model.model_json_schema()}
    for name, model in FITS.items()
]


def message(client: Any, messages: Any, *, stream: bool, **fields: Any) -> Any:
    """Return the response, or the one that the client assembles from the stream."""
    fields = {"model": MODEL, "max_tokens": 4096, "messages": messages, **fields}
    if not stream:
        return client.messages.create(**fields)
    with client.messages.stream(**fields) as events:
        return events.get_final_message()


def calls_of(response: Any) -> list[Any]:
    return [block for block in response.content if block.type == "tool_use"]


def is_near(counted: int, used: int, *, site: SiteUnderTest) -> bool:
    """Return whether a token count equals the response's usage; for upstream models it is only an estimate."""
    return used / 3 <= counted <= used * 3 if site.relayed else counted == used > 0


def test_stream_equals_the_non_streaming_response_token_by_token(anthropic: Any, site: SiteUnderTest) -> None:
    whole = message(anthropic, MESSAGES, stream=False)
    events = list(anthropic.messages.create(model=MODEL, max_tokens=4096, messages=MESSAGES, stream=True))
    texts = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert "".join(texts) == whole.content[0].text
    assert len(texts) == whole.usage.output_tokens > 10
    assert [event.type for event in events if event.type != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert is_near(events[0].message.usage.input_tokens, whole.usage.input_tokens, site=site)
    assert events[-2].usage.output_tokens == whole.usage.output_tokens
    assert events[-2].delta.stop_reason == whole.stop_reason == "end_turn"


def test_stream_helper_returns_the_same_text(anthropic: Any) -> None:
    with anthropic.messages.stream(model=MODEL, max_tokens=4096, messages=MESSAGES) as stream:
        text = "".join(stream.text_stream)
        assert text == stream.get_final_text() == message(anthropic, MESSAGES, stream=False).content[0].text


async def test_async_client_gets_the_same_response(async_anthropic: Any) -> None:
    whole = await async_anthropic.messages.create(model=MODEL, max_tokens=4096, messages=MESSAGES)
    async with async_anthropic.messages.stream(model=MODEL, max_tokens=4096, messages=MESSAGES) as stream:
        assert await stream.get_final_text() == whole.content[0].text


@STREAM_MODES
def test_tools_are_called_and_their_results_get_a_response(anthropic: Any, *, stream: bool) -> None:
    first = message(anthropic, [user(BOTH)], stream=stream, tools=TOOLS)
    calls = calls_of(first)
    assert first.stop_reason == "tool_use"
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    for call in calls:
        FITS[call.name].model_validate(call.input)
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain."} for call in calls]
    assistant_message = {"role": "assistant", "content": first.content}
    final_response = message(
        anthropic, [user(BOTH), assistant_message, {"role": "user", "content": results}], stream=stream, tools=TOOLS
    )
    assert final_response.content[0].text
    assert calls_of(final_response) == []


@STREAM_MODES
@pytest.mark.parametrize(
    ("question", "choice", "called"),
    [
        (WEATHER, {"type": "none"}, []),
        (WEATHER, {"type": "auto"}, ["get_weather"]),
        ("Hello", {"type": "any"}, ["get_weather"]),
        (WEATHER, {"type": "tool", "name": "get_time"}, ["get_time"]),
        (BOTH, {"type": "auto", "disable_parallel_tool_use": True}, ["get_weather"]),
    ],
    ids=["none", "auto", "any", "named", "one-at-a-time"],
)
def test_tool_choice_is_respected(
    anthropic: Any, question: str, choice: Any, called: list[str], *, stream: bool
) -> None:
    response = message(anthropic, [user(question)], stream=stream, tools=TOOLS, tool_choice=choice)
    assert [call.name for call in calls_of(response)] == called


def test_response_is_parsed_into_its_model(anthropic: Any) -> None:
    fields: Any = {"model": MODEL, "max_tokens": 4096, "messages": MESSAGES, "output_format": Weather}
    whole = anthropic.messages.parse(**fields)
    assert isinstance(whole.parsed_output, Weather)
    with anthropic.messages.stream(**fields) as events:
        assert events.get_final_message().parsed_output == whole.parsed_output


@STREAM_MODES
def test_thinking_block_comes_first_with_a_signature(anthropic: Any, *, stream: bool) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    response = message(anthropic, MESSAGES, stream=stream, thinking=thinking)
    thought, text = response.content
    assert (thought.type, text.type) == ("thinking", "text")
    assert thought.thinking
    assert thought.signature
    assistant_message = {"role": "assistant", "content": response.content}
    assert message(anthropic, [*MESSAGES, assistant_message, user("And?")], stream=stream, thinking=thinking).content


@STREAM_MODES
def test_stop_sequence_ends_the_response_before_its_text(anthropic: Any, site: SiteUnderTest, *, stream: bool) -> None:
    text = message(anthropic, MESSAGES, stream=False).content[0].text
    word = text.split()[5]
    stopped = message(anthropic, MESSAGES, stream=stream, stop_sequences=["no such text", word])
    assert stopped.content[0].text == text[: text.index(word)]
    # An OpenAI-compatible upstream does not report which stop sequence matched.
    expected = ("end_turn", None) if site.relayed else ("stop_sequence", word)
    assert (stopped.stop_reason, stopped.stop_sequence) == expected


@STREAM_MODES
def test_token_limit_is_exact(anthropic: Any, *, stream: bool) -> None:
    response = message(anthropic, MESSAGES, stream=stream, max_tokens=7)
    assert response.stop_reason == "max_tokens"
    assert response.usage.output_tokens == 7


def test_images_and_system_texts_are_accepted(anthropic: Any) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert message(anthropic, [{"role": "user", "content": content}], stream=False, system=system).content[0].text


def test_token_count_equals_the_usage_of_a_message(anthropic: Any, site: SiteUnderTest) -> None:
    fields = {"model": MODEL, "messages": MESSAGES, "system": "Be brief."}
    counted = anthropic.messages.count_tokens(**fields).input_tokens
    assert is_near(counted, anthropic.messages.create(**fields, max_tokens=5).usage.input_tokens, site=site)


def test_models_are_listed_and_found(anthropic: Any, site: SiteUnderTest) -> None:
    assert "sim" in [model.id for model in anthropic.models.list()]
    assert anthropic.models.retrieve("sim").type == "model"
    if site.relayed:
        with pytest.raises(library.NotFoundError):
            anthropic.models.retrieve("nobody")
    else:
        assert anthropic.models.retrieve("nobody").id == "nobody"
