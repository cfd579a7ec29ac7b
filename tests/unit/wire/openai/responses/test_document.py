import msgspec
import pytest

from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire.openai.responses.document import (
    InputDetails,
    OutputItem,
    item_document,
    response_document,
    status_of,
)

from tests.unit.wire.openai.responses.test_stream import respond
from tests.unit.wire.streams import IDENTITY


@pytest.mark.parametrize(
    ("reason", "status"),
    [("stop", "completed"), ("tool_calls", "completed"), ("length", "incomplete"), ("content_filter", "incomplete")],
)
def test_finish_reason_sets_status_and_incomplete_details(reason: FinishReason, status: str) -> None:
    assert status_of(reason) == status


def test_encrypted_reasoning_is_included_if_requested() -> None:
    item = OutputItem(kind="thought", id="rs_1", text="Hm", encrypted=True)

    plain = OutputItem(kind="thought", id="rs_1", text="Hm")

    assert msgspec.to_builtins(item_document(item, "completed"))["encrypted_content"]
    assert "encrypted_content" not in msgspec.to_builtins(item_document(plain, "completed"))


def test_custom_call_has_an_input() -> None:
    item = OutputItem(kind="call", id="ctc_1", text="x", call=ToolCall("c", "run", "", custom=True))
    named = {"call_id": "c", "name": "run"}

    assert msgspec.to_builtins(item_document(item, "completed")) == {
        "id": "ctc_1", "type": "custom_tool_call", "status": "completed", "input": "x", **named,
    }  # fmt: skip


def test_cached_tokens_are_reported() -> None:
    response = response_document(respond().options, IDENTITY, items=[], reason="stop", usage=Usage(9, 2, 5, 1))

    assert response.usage is not None
    assert response.usage.input_tokens_details == InputDetails(cache_write_tokens=1, cached_tokens=5)


def test_reasoning_tokens_do_not_exceed_completion_tokens() -> None:
    item = OutputItem(kind="thought", id="rs_1", text="one two three")
    response = response_document(respond().options, IDENTITY, items=[item], reason="stop", usage=Usage(1, 2))

    assert response.usage is not None
    assert response.usage.output_tokens_details == {"reasoning_tokens": 2}


def test_response_repeats_request_members() -> None:
    form = {"type": "json_schema", "name": "s", "schema": {}}
    tools = [{"type": "function", "name": "look", "strict": True}, {"type": "web_search"}]
    shape = respond(
        instructions="Be brief.", max_output_tokens=16, text={"format": form}, tools=tools, metadata={"a": "b"}
    ).options

    decoded = msgspec.json.decode(msgspec.json.encode(response_document(shape, IDENTITY, items=[])))

    assert (decoded["instructions"], decoded["max_output_tokens"]) == ("Be brief.", 16)
    assert decoded["text"] == {"format": form, "verbosity": "medium"}
    assert (decoded["tools"], decoded["metadata"]) == (tools, {"a": "b"})
