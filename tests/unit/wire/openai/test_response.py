from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire.dialect import ContentBlock, Dialect, ParsedRequest, ResponseChoice
from tokenfall.wire.openai.document import usage_document
from tokenfall.wire.openai.response import GROQ_CHAT, OPENAI_CHAT

from tests.unit.wire.streams import (
    BROKEN,
    FIRST_CALL,
    SECOND_CALL,
    TEXT,
    THOUGHT,
    Script,
    complete,
    complete_body,
    documents,
    frames,
    parsed_request,
)

HEAD = (
    b'"id":"chatcmpl-0123456789abcdef01234567","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"sim","system_fingerprint":"fp_tokenfall",'
)
DONE = b"data: [DONE]\n\n"


def chunk(rest: bytes) -> bytes:
    return b"data: {" + HEAD + rest + b"}\n\n"


def delta(members: bytes, *, choice: int = 0, reason: bytes = b"null") -> bytes:
    choices_ = b'"choices":[{"index":%d,"delta":{%b},"logprobs":null,"finish_reason":%b}]'
    return chunk(choices_ % (choice, members, reason))


def call_delta(members: bytes) -> bytes:
    return delta(b'"tool_calls":[{%b}]' % members)


ROLE = b'"role":"assistant","content":""'


def chat(dialect: Dialect = OPENAI_CHAT, **fields: Any) -> ParsedRequest:
    return parsed_request(dialect, messages=[{"role": "user", "content": "Hi"}], **fields)


def test_dialect_name_and_content_type() -> None:
    assert (OPENAI_CHAT.name, GROQ_CHAT.name) == ("openai.chat", "groq.chat")
    assert (OPENAI_CHAT.stream_type, OPENAI_CHAT.keepalive) == ("text/event-stream", b": ping\n\n")
    assert (chat().options.groq, chat(GROQ_CHAT).options.groq) == (False, True)


# Streams


STREAMS: list[tuple[Script, FinishReason, list[bytes]]] = [
    ([(TEXT, ["Hi", " \n\u2028you"])], "stop", [delta(b'"content":"Hi"'), delta(b'"content":" \\n\\u2028you"')]),
    (
        [(THOUGHT, ["Hm"]), (TEXT, ["Hi"])],
        "length",
        [delta(b'"reasoning_content":"Hm"'), delta(b'"content":"Hi"')],
    ),
    (
        [(TEXT, ["So"]), (FIRST_CALL, ['{"a":', " 1}"]), (SECOND_CALL, ["{}"])],
        "tool_calls",
        [
            delta(b'"content":"So"'),
            call_delta(b'"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":""}'),
            call_delta(b'"index":0,"function":{"arguments":"{\\"a\\":"}'),
            call_delta(b'"index":0,"function":{"arguments":" 1}"}'),
            call_delta(b'"index":1,"id":"call_2","type":"function","function":{"name":"buy","arguments":""}'),
            call_delta(b'"index":1,"function":{"arguments":"{}"}'),
        ],
    ),
    (
        [(ContentBlock("call", call=ToolCall("c", "run", "", custom=True)), ["a"])],
        "tool_calls",
        [
            call_delta(b'"index":0,"id":"c","type":"custom","custom":{"name":"run","input":""}'),
            call_delta(b'"index":0,"custom":{"input":"a"}'),
        ],
    ),
    ([], "stop", []),
    ([], "content_filter", []),
]


@pytest.mark.parametrize(("script", "reason", "deltas"), STREAMS)
def test_response_is_streamed_in_frames(script: Script, reason: FinishReason, deltas: list[bytes]) -> None:
    end = delta(b"", reason=b'"%b"' % reason.encode())

    assert frames(OPENAI_CHAT, chat(), script, reason=reason) == [delta(ROLE), *deltas, end, DONE]


def test_usage_is_in_the_last_chunk_and_null_before() -> None:
    request = chat(stream=True, stream_options={"include_usage": True})
    before = [delta(ROLE), delta(b'"content":"Hi"'), delta(b"", reason=b'"stop"')]
    with_null = [each.replace(b'"choices"', b'"usage":null,"choices"') for each in before]
    usage = chunk(b'"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}')

    assert frames(OPENAI_CHAT, request, [(TEXT, ["Hi"])]) == [*with_null, usage, DONE]
    assert frames(OPENAI_CHAT, request, [(TEXT, ["Hi"])], usage=None) == [*with_null, DONE]


def test_each_choice_has_its_own_role_and_end() -> None:
    script = [(TEXT, ["a"]), (ContentBlock("text", choice=1), ["b"])]

    assert frames(OPENAI_CHAT, chat(n=2), script) == [
        delta(ROLE),
        delta(b'"content":"a"'),
        delta(b"", reason=b'"stop"'),
        delta(ROLE, choice=1),
        delta(b'"content":"b"', choice=1),
        delta(b"", choice=1, reason=b'"stop"'),
        DONE,
    ]


def test_text_has_logprobs_and_reasoning_has_none() -> None:
    request = chat(logprobs=True, top_logprobs=1)
    encoded = frames(OPENAI_CHAT, request, [(THOUGHT, ["Hm"]), (TEXT, ["Hi"])])

    one = b'"token":"Hi","logprob":-0.6558,"bytes":[72,105]'
    logprobs_json = b'{"content":[{%b,"top_logprobs":[{%b}]}],"refusal":null}' % (one, one)
    assert encoded[1] == delta(b'"reasoning_content":"Hm"')
    assert encoded[2] == delta(b'"content":"Hi"').replace(b'"logprobs":null', b'"logprobs":' + logprobs_json)


def test_groq_sends_request_id_and_always_usage() -> None:
    usage = (
        b'{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,'
        b'"queue_time":0.0,"prompt_time":0.5,"completion_time":1.0,"total_time":1.5}'
    )
    request_id = b'{"id":"req_0123456789abcdef01234567"}'
    first = delta(ROLE).replace(b"]}\n\n", b'],"x_groq":%b}\n\n' % request_id)
    groq = b'],"x_groq":{"id":"req_0123456789abcdef01234567","usage":%b}}\n\n' % usage

    assert frames(GROQ_CHAT, chat(GROQ_CHAT), [(THOUGHT, ["Hm"]), (TEXT, ["Hi"])]) == [
        first,
        delta(b'"reasoning":"Hm"'),
        delta(b'"content":"Hi"'),
        delta(b"", reason=b'"stop"').replace(b"]}\n\n", groq),
        DONE,
    ]
    asks_too = chat(GROQ_CHAT, stream=True, stream_options={"include_usage": True})
    assert [each["usage"] is None for each in documents(frames(GROQ_CHAT, asks_too, []))] == [True] * 2 + [False]


def test_error_frame_is_the_same_before_and_after_the_first_token() -> None:
    assert OPENAI_CHAT.error_frame(BROKEN, 0) == (
        b'data: {"error":{"message":"it broke","type":"server_error","param":null,"code":"upstream_reset"}}\n\n'
    )
    assert OPENAI_CHAT.error(BROKEN) == OPENAI_CHAT.error_frame(BROKEN, 0)[6:-2]


@given(st.text(), st.booleans())
def test_any_text_round_trips_in_its_frame(text: str, logprobs: bool) -> None:
    [_, decoded, *_] = documents(frames(OPENAI_CHAT, chat(logprobs=logprobs), [(TEXT, [text])]))

    assert decoded["choices"][0]["delta"] == {"content": text}


# Complete responses


def test_complete_response() -> None:
    assert complete_body(OPENAI_CHAT, chat(), ResponseChoice(text="Hi", reason="length", tokens=["Hi"])) == (
        b'{"id":"chatcmpl-0123456789abcdef01234567","object":"chat.completion","created":1700000000,"model":"sim",'
        b'"system_fingerprint":"fp_tokenfall","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"Hi","refusal":null},"logprobs":null,"finish_reason":"length"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}'
    )


def test_complete_response_with_calls_has_null_content() -> None:
    calls = (ToolCall("call_1", "look", "{}"),)
    choice = ResponseChoice(text="", reason="tool_calls", calls=calls)
    decoded = complete(OPENAI_CHAT, chat(), choice, usage=None)

    assert decoded["usage"] is None
    assert decoded["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]


LEGACY: dict[str, Any] = {"functions": [{"name": "look"}, {"name": "buy"}]}


@pytest.mark.parametrize("dialect", [OPENAI_CHAT, GROQ_CHAT], ids=lambda each: str(each.name))
def test_function_call_is_streamed_with_at_most_one_call(dialect: Dialect) -> None:
    """A client of `functions` joins all arguments of a response, so a second call would corrupt the first."""
    script = [(TEXT, ["So"]), (FIRST_CALL, ['{"a":', " 1}"]), (SECOND_CALL, ["{}"]), (TEXT, ["end"])]
    decoded = documents(frames(dialect, chat(dialect, **LEGACY), script, reason="tool_calls"))
    choices = [each["choices"][0] for each in decoded if each["choices"]]

    assert [each["delta"] for each in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "So"},
        {"function_call": {"name": "look", "arguments": ""}},
        {"function_call": {"arguments": '{"a":'}},
        {"function_call": {"arguments": " 1}"}},
        {"content": "end"},
        {},
    ]
    assert [each["finish_reason"] for each in choices] == [None] * 6 + ["function_call"]


def test_each_choice_has_its_own_function_call() -> None:
    calls = [ContentBlock("call", call=ToolCall("c", "look", ""), choice=number) for number in (0, 1)]
    decoded = documents(frames(OPENAI_CHAT, chat(n=2, **LEGACY), [(call, ["{}"]) for call in calls]))

    calls_of = [each["choices"][0]["index"] for each in decoded if "function_call" in each["choices"][0]["delta"]]
    assert calls_of == [0, 0, 1, 1]


def test_complete_response_has_a_function_call() -> None:
    calls = (ToolCall("call_1", "look", "{}"), ToolCall("call_2", "buy", "{}"))
    decoded = complete(OPENAI_CHAT, chat(**LEGACY), ResponseChoice(text="", reason="tool_calls", calls=calls))

    assert decoded["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "function_call": {"name": "look", "arguments": "{}"},
    }
    assert decoded["choices"][0]["finish_reason"] == "function_call"


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_other_reasons_are_the_same_with_functions(reason: FinishReason) -> None:
    decoded = complete(OPENAI_CHAT, chat(**LEGACY), ResponseChoice(text="Hi", reason=reason))

    assert decoded["choices"][0]["finish_reason"] == reason
    assert decoded["choices"][0]["message"] == {"role": "assistant", "content": "Hi", "refusal": None}


def test_complete_empty_response_has_empty_content() -> None:
    decoded = complete(OPENAI_CHAT, chat(), ResponseChoice(text="", reason="stop"))

    assert decoded["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize(("dialect", "name"), [(OPENAI_CHAT, "reasoning_content"), (GROQ_CHAT, "reasoning")])
def test_complete_response_with_reasoning_and_logprobs(dialect: Dialect, name: str) -> None:
    choice = ResponseChoice(text="Hi", reason="stop", thought="Hm", tokens=["Hi"])
    decoded = complete(dialect, chat(dialect, logprobs=True), choice, choice)

    assert [each["index"] for each in decoded["choices"]] == [0, 1]
    assert decoded["choices"][1]["message"][name] == "Hm"
    assert decoded["choices"][1]["logprobs"]["content"][0]["token"] == "Hi"
    assert ("x_groq" in decoded, "total_time" in decoded["usage"]) == (
        (True, True) if dialect is GROQ_CHAT else (False, False)
    )


@pytest.mark.parametrize("blocks", [[(THOUGHT, ["Hm", " so"]), (TEXT, ["Hi"])], [(THOUGHT, ["Hm"])], [(TEXT, ["Hi"])]])
def test_raw_reasoning_is_between_tags_in_the_content(blocks: list[tuple[ContentBlock, list[str]]]) -> None:
    raw = chat(GROQ_CHAT, reasoning_format="raw")
    texts = {block.kind: "".join(tokens) for block, tokens in blocks}
    content = (f"<think>{texts['thought']}</think>" if "thought" in texts else "") + texts.get("text", "")
    chunks = documents(frames(GROQ_CHAT, raw, blocks))
    deltas = [each["choices"][0]["delta"] for each in chunks if each["choices"]]

    assert "".join(delta.get("content", "") for delta in deltas) == content
    assert not any("reasoning" in delta for delta in deltas)
    choice = ResponseChoice(text=texts.get("text", ""), reason="stop", thought=texts.get("thought", ""))
    assert complete(GROQ_CHAT, raw, choice)["choices"][0]["message"] == {
        "role": "assistant",
        "content": content,
        "refusal": None,
    }


def test_service_tier_is_in_each_chunk() -> None:
    decoded = documents(frames(OPENAI_CHAT, chat(service_tier="flex"), [(TEXT, ["Hi"])]))

    assert {each.get("service_tier") for each in decoded} == {"flex"}


def test_usage_has_cached_and_reasoning_tokens_if_any() -> None:
    assert msgspec.to_builtins(usage_document(Usage(9, 8, 5, 0, 3))) == {
        "prompt_tokens": 9,
        "completion_tokens": 8,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


def test_groq_finishes_each_choice_and_sends_usage_with_the_last() -> None:
    decoded = documents(frames(GROQ_CHAT, chat(GROQ_CHAT, n=2), [(TEXT, ["Hi"])]))
    ends = [each for each in decoded if each["choices"][0]["finish_reason"]]

    assert [("usage" in each.get("x_groq", {})) for each in ends] == [False, True]
