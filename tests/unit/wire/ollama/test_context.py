import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.events import Finished, Usage
from tokenfall.messages import Message, ToolCall
from tokenfall.wire.dialect import ContentBlock, ParsedRequest, ResponseChoice, ResponseMeta
from tokenfall.wire.dialect import ResponseTiming as Timing
from tokenfall.wire.ollama.context import MAX_CONTEXT, MAX_TEXT_BYTES, decode_context, encode_context, with_context
from tokenfall.wire.ollama.response import OLLAMA_GENERATE

from tests.unit.wire import streams
from tests.unit.wire.streams import encode_block

RELAYED = with_context(OLLAMA_GENERATE)
META = ResponseMeta("0123456789abcdef01234567", 1_700_000_000.25, "up-1")
FINISHED = Finished("stop", "up-1", Usage(3, 5))
TEXT, THOUGHT = ContentBlock("text"), ContentBlock("thought")
TALK = (Message("system", "Be brief."), Message("user", "Hé"), Message("assistant", "漢😀"))

roles = st.sampled_from(["system", "user", "assistant"])
texts = st.text(st.characters(exclude_categories=["Cs"]))


def parsed(**fields: Any) -> ParsedRequest:
    body = json.dumps({"model": "up-1", "prompt": "Hi", **fields}).encode()
    return RELAYED.for_upstream(RELAYED.decode(body))


def streamed(parsed_request: ParsedRequest, *events: tuple[ContentBlock, Sequence[str]]) -> list[dict[str, Any]]:
    lines = streams.stream(RELAYED, parsed_request, events, finished=FINISHED, meta=META)
    return [json.loads(line) for line in lines.splitlines()]


def complete(parsed_request: ParsedRequest, text: str) -> dict[str, Any]:
    choice = ResponseChoice(text=text, reason="stop")
    document: dict[str, Any] = json.loads(
        streams.complete_body(RELAYED, parsed_request, choice, finished=FINISHED, meta=META)
    )
    return document


@given(st.lists(st.tuples(roles, texts), max_size=5))
def test_context_round_trips(messages_: list[tuple[Any, str]]) -> None:
    messages = tuple(Message(role, text) for role, text in messages_)
    context = encode_context(messages)

    assert context is not None
    assert all(0 <= number < 2**31 for number in context), "typed clients read 32 bits"
    assert decode_context(context) == messages


@pytest.mark.parametrize(
    "context",
    [
        (),
        (1, 2, 3),
        (-1,),
        (2**32,),
        (2**70,),
        (2**31,) * 5,
        tuple(b"[1]"),
        tuple(b'{"tokenfall":[["tool","x"]]}'),
        (0x20,) * (MAX_CONTEXT + 1),
    ],
)
def test_context_of_another_server_is_ignored(context: tuple[int, ...]) -> None:
    assert decode_context(context) == ()
    assert parsed(context=list(context)).request.messages == (Message("user", "Hi"),)


def test_context_above_its_limit_is_omitted() -> None:
    overhead = len(msgspec.json.encode({"tokenfall": [["user", ""]]}))
    largest = Message("user", "a" * (MAX_TEXT_BYTES - overhead))

    context = encode_context((largest,))
    assert context is not None
    assert len(context) == MAX_CONTEXT
    assert decode_context(context) == (largest,)
    assert encode_context((Message("user", largest.content + "a"),)) is None


def test_context_continues_its_conversation_without_images() -> None:
    parsed_request = parsed(context=encode_context(TALK), images=["iVBORw0KGgo="])

    assert parsed_request.request.messages == (
        *TALK,
        Message("user", "Hi", images=("data:image/png;base64,iVBORw0KGgo=",)),
    )
    assert decode_context(complete(parsed_request, "Ho")["context"]) == (
        *TALK,
        Message("user", "Hi"),
        Message("assistant", "Ho"),
    )


def test_new_system_message_replaces_that_of_the_context() -> None:
    parsed_request = parsed(context=encode_context(TALK), system="Be long.")

    assert parsed_request.request.messages == (Message("system", "Be long."), *TALK[1:], Message("user", "Hi"))


def test_last_line_of_a_stream_has_the_context_in_field_order() -> None:
    lines = streamed(parsed(), (THOUGHT, ["Hm"]), (TEXT, ["Good", " day"]))

    assert [line.get("response") for line in lines] == ["", "Good", " day", ""]
    assert lines[0]["thinking"] == "Hm"
    assert all("context" not in line for line in lines[:-1])
    assert list(lines[-1])[:6] == ["model", "created_at", "response", "done", "done_reason", "context"]
    assert decode_context(lines[-1]["context"]) == (Message("user", "Hi"), Message("assistant", "Good day"))


def test_complete_response_has_the_context_in_order() -> None:
    document = complete(parsed(), "Good day")

    assert list(document)[:6] == ["model", "created_at", "response", "done", "done_reason", "context"]
    assert decode_context(document["context"]) == (Message("user", "Hi"), Message("assistant", "Good day"))


def test_raw_has_no_context() -> None:
    parsed_request = parsed(raw=True)

    assert "context" not in streamed(parsed_request, (TEXT, ["a"]))[-1]
    assert "context" not in complete(parsed_request, "a")


def test_stream_buffers_at_most_the_text_of_a_context() -> None:
    piece = "a" * (MAX_TEXT_BYTES // 4)
    lines = streamed(parsed(), (TEXT, [piece] * 8))

    assert sum(len(line["response"]) for line in lines) == 8 * len(piece)
    assert "context" not in lines[-1]


def test_context_has_text_with_log_probabilities_and_no_buffered_thought() -> None:
    encoder = RELAYED.encoder(parsed(), META)
    assert json.loads(encode_block(encoder, THOUGHT, ["Hm"]))["thinking"] == "Hm"
    assert encode_block(encoder, ContentBlock("call", call=ToolCall("c", "f", "")), ["{}"]) == b""
    encoder.open(TEXT)
    line: bytes = getattr(encoder, "token_with_logprobs")("Good", b'{"token":"Good"}')  # noqa: B009 - not in Encoder
    last = encoder.finish(0, "stop") + encoder.end(FINISHED, Timing())

    assert (json.loads(line)["response"], json.loads(line)["logprobs"]) == ("Good", [{"token": "Good"}])
    assert decode_context(json.loads(last)["context"]) == (Message("user", "Hi"), Message("assistant", "Good"))
