from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tokenfall.errors import InvalidRequest
from tokenfall.events import FinishReason, Usage
from tokenfall.messages import ChatRequest, Message
from tokenfall.tokens import tokens_of
from tokenfall.wire.dialect import ContentBlock, ParsedRequest, ResponseChoice, ResponseMeta
from tokenfall.wire.openai.completions.logprobs import CompletionLogprobs
from tokenfall.wire.openai.completions.request import CompletionOptions
from tokenfall.wire.openai.completions.response import MAX_ECHOED, OPENAI_COMPLETIONS

from tests.unit.wire.refusals import refusal
from tests.unit.wire.streams import (
    FIRST_CALL,
    TEXT,
    THOUGHT,
    Script,
    complete,
    complete_body,
    documents,
    frames,
    model_response,
    parsed_request,
)

HEAD = (
    b'"id":"cmpl-0123456789abcdef01234567","object":"text_completion","created":1700000000,'
    b'"model":"sim","system_fingerprint":"fp_tokenfall",'
)
DONE = b"data: [DONE]\n\n"


def chunk(text: bytes, *, choice: int = 0, logprobs: bytes = b"null", reason: bytes = b"null") -> bytes:
    members = b'"choices":[{"index":%d,"text":"%b","logprobs":%b,"finish_reason":%b}]' % (
        choice,
        text,
        logprobs,
        reason,
    )
    return b"data: {" + HEAD + members + b"}\n\n"


def completion(**fields: Any) -> ParsedRequest:
    return parsed_request(OPENAI_COMPLETIONS, **{"prompt": "Say hi", **fields})


# Requests


def test_model_and_prompt_are_sufficient() -> None:
    read = completion(user="u")

    assert read.request == ChatRequest(messages=(Message("user", "Say hi"),), model="sim", max_tokens=16)
    assert (read.stream, read.options) == (False, CompletionOptions())


def test_all_fields_are_decoded() -> None:
    read = completion(
        prompt=["a", "b"],
        suffix="s",
        echo=True,
        best_of=3,
        logprobs=5,
        max_tokens=0,
        min_tokens=1,
        ignore_eos=True,
        n=3,
        stop="x",
        seed=4,
        stream=True,
        stream_options={"include_usage": True},
        temperature=0,
        top_p=0,
    )

    assert read.request == ChatRequest(
        messages=(Message("user", "a"), Message("user", "b")),
        model="sim",
        max_tokens=0,
        temperature=0,
        top_p=0,
        seed=4,
        stop=("x",),
        n=6,
        min_tokens=1,
        ignore_eos=True,
    )
    assert (read.stream, read.options) == (
        True,
        CompletionOptions(include_usage=True, logprobs=5, each=3, echoed=("a", "b")),
    )


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        (None, [""]),
        ("", [""]),
        (["a"] * 20, ["a"] * 20),
        ([1, 22, 3], ["1 22 3"]),
        ([[1], [2, 3]], ["1", "2 3"]),
        (list(range(500)), [" ".join(map(str, range(500)))]),
    ],
)
def test_prompts_are_texts_or_token_ids(prompt: object, texts: list[str]) -> None:
    assert [message.content for message in completion(prompt=prompt).request.messages] == texts


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a"] * 21}, "prompt"),
        ({"prompt": [[1], []]}, "prompt[1]"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"model": ""}, "model"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": 65, "prompt": ["a", "b"]}, "n"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 21}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stream_options": {}}, "stream_options"),
        ({"temperature": 3}, "temperature"),
        ({"suffix": 1}, "suffix"),
    ],
)
def test_invalid_request_is_refused_with_the_field(fields: dict[str, Any], param: str) -> None:
    assert refusal(completion, **fields)[0] == param


# Streams


@pytest.mark.parametrize(
    ("script", "reason", "chunks", "end"),
    [
        ([(TEXT, ["Hi", " \nyou"])], "stop", [chunk(b"Hi"), chunk(b" \\nyou")], b"stop"),
        ([(THOUGHT, ["Hm"]), (TEXT, ["Hi"]), (FIRST_CALL, ["{}"])], "tool_calls", [chunk(b"Hi")], b"stop"),
        ([], "length", [], b"length"),
        ([], "content_filter", [], b"content_filter"),
    ],
)
def test_text_is_streamed_in_frames_without_reasoning_and_calls(
    script: Script, reason: FinishReason, chunks: list[bytes], end: bytes
) -> None:
    last = chunk(b"", reason=b'"%b"' % end)

    assert frames(OPENAI_COMPLETIONS, completion(), script, reason=reason) == [*chunks, last, DONE]


def test_usage_is_in_the_last_chunk_and_null_before() -> None:
    request = completion(stream=True, stream_options={"include_usage": True})
    usage = b'"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}\n\n'

    assert frames(OPENAI_COMPLETIONS, request, [(TEXT, ["Hi"])]) == [
        chunk(b"Hi").replace(b"]}\n\n", b'],"usage":null}\n\n'),
        chunk(b"", reason=b'"stop"').replace(b"]}\n\n", b'],"usage":null}\n\n'),
        b"data: {" + HEAD + usage,
        DONE,
    ]
    assert len(frames(OPENAI_COMPLETIONS, request, [], usage=None)) == 2


def test_each_prompt_is_echoed_before_its_choices() -> None:
    script = [(ContentBlock("text", choice=number), [str(number)]) for number in range(3)]  # the last has no text

    assert frames(OPENAI_COMPLETIONS, completion(prompt=["a", "b"], n=2, echo=True), script) == [
        chunk(b"a"),
        chunk(b"0"),
        chunk(b"", reason=b'"stop"'),
        chunk(b"a", choice=1),
        chunk(b"1", choice=1),
        chunk(b"", choice=1, reason=b'"stop"'),
        chunk(b"b", choice=2),
        chunk(b"2", choice=2),
        chunk(b"", choice=2, reason=b'"stop"'),
        chunk(b"b", choice=3),
        chunk(b"", choice=3, reason=b'"stop"'),
        DONE,
    ]


def test_logprobs_include_the_echoed_prompt_with_continuous_offsets() -> None:
    assert frames(OPENAI_COMPLETIONS, completion(echo=True, logprobs=1), [(TEXT, ["Hi", " you"])])[:3] == [
        chunk(
            b"Say hi",
            logprobs=b'{"tokens":["Say"," hi"],"token_logprobs":[null,-0.8737],'
            b'"top_logprobs":[null,{" hi":-0.8737}],"text_offset":[0,3]}',
        ),
        chunk(
            b"Hi",
            logprobs=b'{"tokens":["Hi"],"token_logprobs":[-0.6558],"top_logprobs":[{"Hi":-0.6558}],"text_offset":[6]}',
        ),
        chunk(
            b" you",
            logprobs=b'{"tokens":[" you"],"token_logprobs":[-0.6038],"top_logprobs":[{" you":-0.6038}],'
            b'"text_offset":[8]}',
        ),
    ]


def test_zero_alternatives_give_none() -> None:
    assert frames(OPENAI_COMPLETIONS, completion(logprobs=0), [(TEXT, ["Hi"])])[0] == chunk(
        b"Hi", logprobs=b'{"tokens":["Hi"],"token_logprobs":[-0.6558],"top_logprobs":null,"text_offset":[0]}'
    )


def test_number_of_alternatives_is_as_requested_even_for_an_alternative_token() -> None:
    [document, *_] = documents(frames(OPENAI_COMPLETIONS, completion(logprobs=5), [(TEXT, [" the"])]))

    assert list(document["choices"][0]["logprobs"]["top_logprobs"][0]) == [" the", " a", " and", " of", " to"]


@given(st.text(), st.sampled_from([None, 1]), st.text())
def test_any_text_round_trips_in_its_frame(text: str, logprobs: int | None, prompt: str) -> None:
    request = completion(prompt=prompt, echo=True, logprobs=logprobs)
    decoded = documents(frames(OPENAI_COMPLETIONS, request, [(TEXT, [text])]))

    assert "".join(each["choices"][0]["text"] for each in decoded) == prompt + text


# Complete responses


def test_complete_response() -> None:
    assert complete_body(OPENAI_COMPLETIONS, completion(), ResponseChoice(text="Hi", reason="length")) == (
        b"{" + HEAD + b'"choices":[{"index":0,"text":"Hi","logprobs":null,"finish_reason":"length"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}'
    )


@pytest.mark.parametrize(("logprobs", "tops"), [(0, None), (1, [None, {" b": -0.8169}, {"Hi": -0.6558}])])
def test_complete_response_with_echo_and_logprobs(logprobs: int, tops: object) -> None:
    request = completion(prompt="a b", echo=True, logprobs=logprobs)
    [choice] = complete(OPENAI_COMPLETIONS, request, ResponseChoice(text="Hi", reason="stop", tokens=["Hi"]))["choices"]

    assert choice["text"] == "a bHi"
    assert choice["logprobs"] == {
        "tokens": ["a", " b", "Hi"],
        "token_logprobs": [None, -0.8169, -0.6558],
        "top_logprobs": tops,
        "text_offset": [0, 1, 3],
    }


def test_complete_response_without_usage() -> None:
    decoded = complete(OPENAI_COMPLETIONS, completion(), ResponseChoice(text="", reason="tool_calls"), usage=None)

    assert (decoded["usage"], decoded["choices"][0]["finish_reason"]) == (None, "stop")


def test_stream_with_too_many_echoed_logprobs_is_refused() -> None:
    meta = ResponseMeta("0" * 24, 0.0, "sim", MAX_ECHOED // 6)
    request = completion(prompt="a", echo=True, logprobs=5, stream=True)
    OPENAI_COMPLETIONS.encoder(request, meta)

    with pytest.raises(InvalidRequest, match="a stream has at most 2048"):
        OPENAI_COMPLETIONS.encoder(request, replace(meta, prompt_tokens=MAX_ECHOED // 6 + 1))
    OPENAI_COMPLETIONS.encoder(completion(prompt="a", echo=True, stream=True), replace(meta, prompt_tokens=9_000))


@pytest.mark.parametrize("fields", [{"logprobs": 5}, {"echo": True, "n": 100}])
def test_complete_response_that_would_be_too_large_is_refused(fields: dict[str, Any]) -> None:
    request = completion(prompt="a" * 100_000, **fields)
    choices = ResponseChoice(text="Hi", reason="stop", tokens=["Hi"])

    with pytest.raises(InvalidRequest, match="a complete response"):
        OPENAI_COMPLETIONS.encode_response(request, model_response(choices, usage=Usage(1, 30_000)))


@given(st.text(alphabet="ab \n"), st.integers(0, 3))
def test_logprobs_are_equal_in_complete_and_streamed_responses(prompt: str, top: int) -> None:
    request = completion(prompt=prompt or "a", echo=True, logprobs=top)
    choice = ResponseChoice(text="H i", reason="stop", tokens=["H", " i"])
    [decoded] = complete(OPENAI_COMPLETIONS, request, choice)["choices"]
    streamed = CompletionLogprobs(top)
    before, after = (
        msgspec.to_builtins(each)
        for each in (streamed.document(tokens_of(prompt or "a"), first=True), streamed.document(["H", " i"]))
    )
    whole = {name: (None if after[name] is None else before[name] + after[name]) for name in before}

    assert decoded["logprobs"] == whole
