"""`anthropic` on messages."""

from typing import Any

import anthropic as library
import pytest

from tests.sdk.conftest import Site
from tests.sdk.questions import ASK, BOTH, FITS, MODEL, PIXEL, WEATHER, Weather, user

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
TOOLS: Any = [
    {"name": name, "description": model.__doc__, "input_schema": model.model_json_schema()}
    for name, model in FITS.items()
]


def message(client: Any, messages: Any, *, stream: bool, **request: Any) -> Any:
    """The complete response, or the one that the client makes of its stream."""
    request = {"model": MODEL, "max_tokens": 4096, "messages": messages, **request}
    if not stream:
        return client.messages.create(**request)
    with client.messages.stream(**request) as events:
        return events.get_final_message()


def calls_of(answer: Any) -> list[Any]:
    return [block for block in answer.content if block.type == "tool_use"]


def is_near(counted: int, used: int, *, site: Site) -> bool:
    """Whether a count before the response is that of the response; for an upstream's models it is an estimate."""
    return used / 3 <= counted <= used * 3 if site.relayed else counted == used > 0


def test_stream_equals_the_non_streaming_response_token_by_token(anthropic: Any, site: Site) -> None:
    whole = message(anthropic, ASK, stream=False)
    events = list(anthropic.messages.create(model=MODEL, max_tokens=4096, messages=ASK, stream=True))
    sent = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert "".join(sent) == whole.content[0].text
    assert len(sent) == whole.usage.output_tokens > 10
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
    with anthropic.messages.stream(model=MODEL, max_tokens=4096, messages=ASK) as stream:
        received = "".join(stream.text_stream)
        assert received == stream.get_final_text() == message(anthropic, ASK, stream=False).content[0].text


async def test_async_client_gets_the_same_response(async_anthropic: Any) -> None:
    whole = await async_anthropic.messages.create(model=MODEL, max_tokens=4096, messages=ASK)
    async with async_anthropic.messages.stream(model=MODEL, max_tokens=4096, messages=ASK) as stream:
        assert await stream.get_final_text() == whole.content[0].text


@BOTH_WAYS
def test_tools_are_called_and_their_results_get_a_response(anthropic: Any, *, stream: bool) -> None:
    request = message(anthropic, [user(BOTH)], stream=stream, tools=TOOLS)
    calls = calls_of(request)
    assert request.stop_reason == "tool_use"
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    for call in calls:
        FITS[call.name].model_validate(call.input)
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain."} for call in calls]
    reply = {"role": "assistant", "content": request.content}
    answered = message(anthropic, [user(BOTH), reply, {"role": "user", "content": results}], stream=stream, tools=TOOLS)
    assert answered.content[0].text
    assert calls_of(answered) == []


@BOTH_WAYS
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
def test_the_choice_of_tools_is_the_callers(
    anthropic: Any, question: str, choice: Any, called: list[str], *, stream: bool
) -> None:
    answer = message(anthropic, [user(question)], stream=stream, tools=TOOLS, tool_choice=choice)
    assert [call.name for call in calls_of(answer)] == called


def test_response_is_parsed_into_its_model(anthropic: Any) -> None:
    request: Any = {"model": MODEL, "max_tokens": 4096, "messages": ASK, "output_format": Weather}
    whole = anthropic.messages.parse(**request)
    assert isinstance(whole.parsed_output, Weather)
    with anthropic.messages.stream(**request) as events:
        assert events.get_final_message().parsed_output == whole.parsed_output


@BOTH_WAYS
def test_thinking_block_comes_first_with_a_signature(anthropic: Any, *, stream: bool) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    answer = message(anthropic, ASK, stream=stream, thinking=thinking)
    thought, text = answer.content
    assert (thought.type, text.type) == ("thinking", "text")
    assert thought.thinking
    assert thought.signature
    reply = {"role": "assistant", "content": answer.content}
    assert message(anthropic, [*ASK, reply, user("And?")], stream=stream, thinking=thinking).content


@BOTH_WAYS
def test_stop_sequence_ends_the_response_before_its_text(anthropic: Any, site: Site, *, stream: bool) -> None:
    text = message(anthropic, ASK, stream=False).content[0].text
    word = text.split()[5]
    stopped = message(anthropic, ASK, stream=stream, stop_sequences=["no such text", word])
    assert stopped.content[0].text == text[: text.index(word)]
    # An OpenAI-compatible provider does not report which text ended its response.
    expected = ("end_turn", None) if site.relayed else ("stop_sequence", word)
    assert (stopped.stop_reason, stopped.stop_sequence) == expected


@BOTH_WAYS
def test_a_bound_is_exact(anthropic: Any, *, stream: bool) -> None:
    answer = message(anthropic, ASK, stream=stream, max_tokens=7)
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 7


def test_images_and_system_texts_are_accepted(anthropic: Any) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert message(anthropic, [{"role": "user", "content": content}], stream=False, system=system).content[0].text


def test_tokens_are_counted_as_a_message_counts_them(anthropic: Any, site: Site) -> None:
    request = {"model": MODEL, "messages": ASK, "system": "Be brief."}
    counted = anthropic.messages.count_tokens(**request).input_tokens
    assert is_near(counted, anthropic.messages.create(**request, max_tokens=5).usage.input_tokens, site=site)


def test_models_are_listed_and_found(anthropic: Any, site: Site) -> None:
    assert "sim" in [model.id for model in anthropic.models.list()]
    assert anthropic.models.retrieve("sim").type == "model"
    if site.relayed:
        with pytest.raises(library.NotFoundError):
            anthropic.models.retrieve("nobody")
    else:
        assert anthropic.models.retrieve("nobody").id == "nobody"
