import pytest

from tokenfall.recording.fitting import InsufficientData, fit, is_token
from tokenfall.recording.recordings import RecordedChunk, RecordedExchange, RecordedRequest, RecordedResponse, Recording

SSE = {"content-type": "text/event-stream; charset=utf-8"}
ROLE = 'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
TOKEN = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
END = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def stream(*chunks: tuple[float, str], status: int = 200, headers: dict[str, str] = SSE) -> RecordedExchange:
    return RecordedExchange(
        time="",
        request=RecordedRequest(method="POST", path="/chat/completions", headers={}),
        answer=RecordedResponse(
            status=status, headers=headers, streamed=True, chunks=tuple(RecordedChunk(*each) for each in chunks)
        ),
    )


def test_times_are_measured_at_tokens_not_reads() -> None:
    half, rest = TOKEN[:20], TOKEN[20:]
    profile = fit(Recording([stream((0.1, ROLE), (0.3, TOKEN), (0.35, half), (0.4, rest + TOKEN), (0.9, END))]))

    assert (profile.ttft.count, profile.gap.count) == (1, 2)
    assert (profile.ttft.at(0), profile.ttft.at(1)) == (0.3, 0.3)
    assert (profile.gap.at(0), profile.gap.at(1)) == pytest.approx((0.0, 0.1))


def test_all_streams_are_used_without_gaps_between_them() -> None:
    profile = fit(Recording([stream((1, TOKEN), (2, TOKEN)), stream((3, TOKEN), (7, TOKEN)), stream((1, ROLE))]))

    assert (profile.ttft.count, profile.ttft.at(0), profile.ttft.at(1)) == (2, 1, 3)
    assert (profile.gap.count, profile.gap.at(0), profile.gap.at(1)) == (2, 1, 4)


def test_stream_is_used_up_to_a_malformed_event() -> None:
    profile = fit(Recording([stream((1, TOKEN), (2, TOKEN), (3, "data: " + "x" * 1_100_000), (4, TOKEN))]))

    assert profile.gap.count == 1


@pytest.mark.parametrize(
    ("exchanges", "what"),
    [
        ([], "no stream with status 200"),
        ([stream((1, TOKEN), status=429)], "no stream with status 200"),
        ([stream((1, TOKEN), headers={"content-type": "application/x-ndjson"})], "no stream with status 200"),
        (
            [RecordedExchange(time="", request=RecordedRequest(method="GET", path="/", headers={}))],
            "no stream with status 200",
        ),
        ([stream((1, ROLE), (2, END))], "none of its 1 streams has a token"),
        ([stream((1, TOKEN), (2, END))], "none of its 1 streams has two tokens"),
    ],
)
def test_recording_with_too_little_data_is_refused(exchanges: list[RecordedExchange], what: str) -> None:
    with pytest.raises(InsufficientData, match=what):
        fit(Recording(exchanges))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'{"choices":[{"delta":{"content":"a"}}]}', True),
        (b'{"choices":[{"delta":{"reasoning_content":"a"}}]}', True),
        (b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}', True),
        (b'{"choices":[{"text":"a"}]}', True),
        (b'{"type":"content_block_delta"}', True),
        (b'{"type":"response.output_text.delta"}', True),
        (b'{"type":"message_start"}', False),
        (b'{"type":"response.created"}', False),
        (b'{"choices":[]}', False),
        (b'{"choices":null}', False),
        (b'{"choices":[1]}', False),
        (b"[DONE]", False),
        (b"[1]", False),
        (b"\xff", False),
    ],
)
def test_token_events_are_recognized(event: bytes, expected: bool) -> None:
    assert is_token(event) == expected
