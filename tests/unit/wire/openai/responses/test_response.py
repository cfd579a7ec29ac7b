import json

from tokenfall.messages import ToolCall
from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import Choice
from tokenfall.wire.openai.responses.response import OPENAI_RESPONSES

from tests.unit.wire.openai.responses.test_stream import USAGE, message, part, respond, response
from tests.unit.wire.openai.streams import BROKEN, FIRST_CALL, TEXT, THOUGHT, answer, documents, frames


def test_its_names() -> None:
    assert (OPENAI_RESPONSES.name, OPENAI_RESPONSES.stream_type) == ("openai.responses", "text/event-stream")
    assert OPENAI_RESPONSES.keepalive == b": ping\n\n"


def test_a_whole_answer() -> None:
    told = b"".join(OPENAI_RESPONSES.whole(respond(), answer(Choice(text="Hi", reason="stop"))))

    output = message(0, b"completed", part(b"Hi"))
    assert told == response(b"completed", output=output, completed=b"1700000002", usage=USAGE % 0)


def test_a_whole_answer_cut_short() -> None:
    told = b"".join(OPENAI_RESPONSES.whole(respond(), answer(Choice(text="Hi", reason="length"), usage=None)))

    output = message(0, b"incomplete", part(b"Hi"))
    assert told == response(b"incomplete", output=output, why=b'{"reason":"max_output_tokens"}')


def test_a_whole_empty_answer_is_an_empty_message() -> None:
    told = json.loads(b"".join(OPENAI_RESPONSES.whole(respond(), answer(Choice(text="", reason="stop")))))

    assert [item["content"][0]["text"] for item in told["output"]] == [""]


def test_a_whole_answer_is_what_the_stream_ends_with() -> None:
    choice = Choice(
        text="Hi", reason="tool_calls", thought="Hm", calls=(ToolCall("call_1", "look", "{}"),), tokens=["Hi"]
    )
    script = [(THOUGHT, ["Hm"]), (TEXT, ["Hi"]), (FIRST_CALL, ["{}"])]
    *_, last = documents(frames(OPENAI_RESPONSES, respond(), script, reason="tool_calls"))

    assert json.loads(b"".join(OPENAI_RESPONSES.whole(respond(), answer(choice)))) == last["response"]


def test_calls_alone_are_no_message() -> None:
    choice = Choice(text="", reason="tool_calls", calls=(ToolCall("call_1", "look", "{}"),))
    told = json.loads(b"".join(OPENAI_RESPONSES.whole(respond(), answer(choice))))

    assert [item["type"] for item in told["output"]] == ["function_call"]


def test_a_break_is_an_event_that_both_ways_of_reading_it_understand() -> None:
    assert OPENAI_RESPONSES.error_frame(BROKEN) == (
        b'event: error\ndata: {"type":"error","sequence_number":0,"code":"upstream_reset","message":"it broke",'
        b'"param":null,"error":{"message":"it broke","type":"server_error","param":null,"code":"upstream_reset"}}\n\n'
    )


def test_an_error_has_openais_own_code_for_a_response_that_is_not_kept() -> None:
    api_error = ApiError(status=400, code="invalid_request", message="no", param="previous_response_id")

    assert json.loads(OPENAI_RESPONSES.error(api_error))["error"]["code"] == "previous_response_not_found"
    assert json.loads(OPENAI_RESPONSES.error(BROKEN))["error"]["code"] == "upstream_reset"
