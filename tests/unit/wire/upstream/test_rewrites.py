import pytest
from msgspec.structs import replace

from tokenfall.errors import UpstreamRefused
from tokenfall.messages import ChatRequest, Message, ToolCall
from tokenfall.wire.upstream.rewrites import (
    CALL_IDS,
    JSON_WORD,
    LOGPROBS,
    REASONING_EFFORT,
    REASONING_REQUIRED,
    SIGNATURE,
    STRICT,
    needed_rewrite,
    omitted_value,
)

UNSUPPORTED = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."

MESSAGES = (Message("assistant", "", tool_calls=(ToolCall("call_1", "f", "{}"),), thought="hm"),)


def rewrite(
    message: str, *, model: str = "m", param: str | None = None, rewrites: frozenset[str] = frozenset()
) -> str | None:
    request = ChatRequest(
        messages=MESSAGES,
        model=model,
        max_tokens=9,
        rewrites=rewrites,
        reasoning=True,
        json_object=True,
        schema=b'{"type":"object","properties":{},"required":[],"additionalProperties":false}',
    )
    return needed_rewrite(UpstreamRefused(message, param=param), request)


@pytest.mark.parametrize(
    ("message", "model", "expected"),
    [
        (UNSUPPORTED, "m", "max_tokens"),
        ("max_tokens: Extra inputs are not permitted", "m", "max_tokens"),
        ("Unrecognized request argument supplied: max_completion_tokens", "o1", "max_completion_tokens"),
        ("body.max_completion_tokens: Extra inputs are not permitted", "gpt-5", "max_completion_tokens"),
        ("max_completion_tokens is wrong here, use max_tokens", "gpt-5", "max_completion_tokens"),
        ("max_tokens is too large: 9", "m", None),
        ("max_completion_tokens is too large: 9", "gpt-5", None),
        ("the context is too long", "m", None),
        ("unsupported image", "m", None),
        ("property 'reasoning_content' is unsupported", "m", "reasoning_content"),
        ("Unrecognized request argument supplied: reasoning_effort", "m", "reasoning_effort"),
        ("stream_options is not supported", "m", "stream_options"),
        ("The `reasoning_content` in the thinking mode must be passed back to the API.", "m", REASONING_REQUIRED),
        ("reasoning_content is missing in assistant tool call message at index 1", "m", REASONING_REQUIRED),
        ("Missing `reasoning_content` field in the assistant message at message index 1.", "m", REASONING_REQUIRED),
        ("Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.", "m", CALL_IDS),
        ("Function call is missing a thought_signature in functionCall parts.", "m", SIGNATURE),
        ("Invalid schema for response_format 'answer': In context=(), too many properties", "m", STRICT),
        ("invalid JSON schema for response_format: 'answer': /properties", "m", STRICT),
        ("'messages' must contain the word 'json' in some form, to use 'response_format'", "m", JSON_WORD),
        ("Prompt must contain the word 'json' in some form to use 'response_format'", "m", JSON_WORD),
    ],
)
def test_needed_rewrite_is_found_in_the_message(message: str, model: str, expected: str | None) -> None:
    assert rewrite(message, model=model) == expected


def test_needed_rewrite_is_found_in_the_param() -> None:
    assert rewrite("Unsupported parameter", param="reasoning_effort") == "reasoning_effort"
    assert rewrite("Unsupported parameter", param="max_tokens") == "max_tokens"


def test_log_probabilities_are_found_if_they_were_requested() -> None:
    error = UpstreamRefused("logprobs is not supported with this model")
    request = ChatRequest(messages=(), model="m", max_tokens=9, logprobs=0)

    assert needed_rewrite(error, request) == "logprobs"
    assert rewrite(error.message) is None


@pytest.mark.parametrize("name", ["max_tokens", "reasoning_content", "reasoning_effort", "stream_options"])
def test_rewrite_that_the_request_has_is_not_needed_again(name: str) -> None:
    message = UNSUPPORTED if name == "max_tokens" else f"{name} is not supported"

    assert rewrite(message, rewrites=frozenset({name})) is None


@pytest.mark.parametrize(
    "name", [CALL_IDS, JSON_WORD, SIGNATURE, STRICT, "reasoning_content", "reasoning_effort", "logprobs"]
)
def test_member_that_was_not_sent_is_not_refused(name: str) -> None:
    request = ChatRequest(messages=(Message("user", "Hi"),), model="m", max_tokens=9)

    assert needed_rewrite(UpstreamRefused(f"{name} is not supported"), request) is None


def test_effort_without_reasoning_can_be_omitted() -> None:
    request = ChatRequest(messages=(), model="m", max_tokens=9, effort="low")

    assert needed_rewrite(UpstreamRefused("reasoning_effort is not supported"), request) == "reasoning_effort"


def test_upstream_that_still_misses_reasoning_is_not_asked_again() -> None:
    assert rewrite("reasoning_content is missing", rewrites=frozenset({REASONING_REQUIRED})) is None


def test_omitted_value_is_that_of_the_request() -> None:
    request = ChatRequest(messages=(), model="m", max_tokens=9, effort="low", logprobs=2, schema=b"{}")

    assert [omitted_value(each, request) for each in (LOGPROBS, REASONING_EFFORT, JSON_WORD)] == [2, "low", None]
    assert omitted_value(STRICT, request) == omitted_value(STRICT, replace(request, effort="high"))
    assert omitted_value(STRICT, request) != omitted_value(STRICT, replace(request, schema=b"[]"))
