import json
from typing import Any

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.events import FinishReason
from tokenfall.messages import ToolCall
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import ResponseChoice
from tokenfall.wire.openai.responses.response import OPENAI_RESPONSES

from tests.unit.wire.openai.responses.test_stream import USAGE, message, part, respond, response
from tests.unit.wire.streams import (
    BROKEN,
    FIRST_CALL,
    IDENTITY,
    TEXT,
    THOUGHT,
    complete,
    complete_body,
    documents,
    encode_block,
    frames,
)

CALL = ToolCall("call_1", "look", "{}")


def test_dialect_name_and_content_type() -> None:
    assert (OPENAI_RESPONSES.name, OPENAI_RESPONSES.stream_type) == ("openai.responses", "text/event-stream")
    assert OPENAI_RESPONSES.keepalive == b": ping\n\n"


def test_complete_response() -> None:
    encoded = complete_body(OPENAI_RESPONSES, respond(), ResponseChoice(text="Hi", reason="stop"))

    output = message(0, b"completed", part(b"Hi"))
    assert encoded == response(b"completed", output=output, completed=b"1700000002", usage=USAGE % 0)


@pytest.mark.parametrize(
    ("text", "calls", "reason", "status", "items"),
    [
        ("", (), "stop", "completed", ["message"]),
        ("Hi", (), "length", "incomplete", ["message"]),
        ("", (CALL,), "tool_calls", "completed", ["function_call"]),
    ],
)
def test_complete_response_has_an_item_for_each_block(
    text: str, calls: tuple[ToolCall, ...], reason: FinishReason, status: str, items: list[str]
) -> None:
    encoded = complete(OPENAI_RESPONSES, respond(), ResponseChoice(text=text, reason=reason, calls=calls), usage=None)

    assert (encoded["status"], encoded["usage"]) == (status, None)
    assert [(item["type"], item["status"]) for item in encoded["output"]] == [(item, status) for item in items]


def test_complete_response_equals_the_last_stream_event() -> None:
    choice = ResponseChoice(text="Hi", reason="tool_calls", thought="Hm", calls=(CALL,), tokens=["Hi"])
    script = [(THOUGHT, ["Hm"]), (TEXT, ["Hi"]), (FIRST_CALL, ["{}"])]
    *_, last = documents(frames(OPENAI_RESPONSES, respond(), script, reason="tool_calls"))

    assert complete(OPENAI_RESPONSES, respond(), choice) == last["response"]


def test_error_frame_has_members_of_both_formats() -> None:
    assert OPENAI_RESPONSES.error_frame(BROKEN, 0) == (
        b'event: error\ndata: {"type":"error","sequence_number":0,"code":"upstream_reset","message":"it broke",'
        b'"param":null,"error":{"message":"it broke","type":"server_error","param":null,"code":"upstream_reset"}}\n\n'
    )


def test_unknown_previous_response_has_openais_code() -> None:
    api_error = ApiError(status=400, code="invalid_request", message="no", param="previous_response_id")

    assert json.loads(OPENAI_RESPONSES.error(api_error))["error"]["code"] == "previous_response_not_found"
    assert json.loads(OPENAI_RESPONSES.error(BROKEN))["error"]["code"] == "upstream_reset"


LOGPROBS = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}


@pytest.mark.parametrize(("fields", "alternatives"), [(LOGPROBS, 2), ({**LOGPROBS, "top_logprobs": None}, 0)])
def test_log_probabilities_are_included_if_requested(fields: dict[str, Any], alternatives: int) -> None:
    choice = ResponseChoice(text="Hi you", reason="stop", tokens=["Hi", " you"])
    (part,) = complete(OPENAI_RESPONSES, respond(**fields), choice)["output"][0]["content"]
    encoder = OPENAI_RESPONSES.encoder(respond(**fields), IDENTITY)
    encoder.open(TEXT)
    deltas = documents([encoder.token(token) for token in choice.tokens])

    assert [each["token"] for each in part["logprobs"]] == ["Hi", " you"]
    assert [len(each["top_logprobs"]) for each in part["logprobs"]] == [alternatives] * 2
    assert [each["logprobs"] for each in deltas] == [[each] for each in part["logprobs"]]
    assert "logprobs" not in documents([encode_block(encoder, THOUGHT, ["Hm"])])[-1]


def test_too_many_log_probabilities_are_refused() -> None:
    choice = ResponseChoice(text="", reason="stop", tokens=["a"] * 50_000)
    with pytest.raises(InvalidRequest, match="log probabilities"):
        complete(OPENAI_RESPONSES, respond(**LOGPROBS), choice)
