import pytest

from tokenfall.events import Finished, OutputEvent, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tokenfall.messages import ToolCall
from tokenfall.wire.anthropic.response import ANTHROPIC
from tokenfall.wire.dialect import ContentBlock, Dialect, ResponseChoice, ResponseTiming
from tokenfall.wire.event_encoder import Accumulator, EventEncoder
from tokenfall.wire.openai.response import OPENAI_CHAT

from tests.doubles.memory import held_bytes
from tests.unit.wire.streams import IDENTITY, TIMING, parsed_request

MESSAGES = [{"role": "user", "content": "Hi"}]
FINISHED = Finished("stop", "up-1", Usage(3, 5), "x")


class RecordingEncoder:
    """An encoder that records its calls in order."""

    def __init__(self, *, with_template: bool = True) -> None:
        self.affixed = with_template

    def open(self, block: ContentBlock) -> bytes:
        call = block.call
        named = f"{block.index}:{call.id}:{call.name}:{call.arguments}" if call else ""
        return f"<{block.kind}{block.choice}{named}>".encode()

    def frame_template(self) -> tuple[bytes, bytes] | None:
        return (b"(", b")") if self.affixed else None

    def token(self, text: str) -> bytes:
        return f"[{text}]".encode()

    def finish(self, choice: int, reason: str) -> bytes:
        return f"</{choice}{reason}>".encode()

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        return f"</{finished.model}>".encode()


def frames(*events: OutputEvent, with_template: bool = True) -> list[bytes]:
    encoder = EventEncoder(RecordingEncoder(with_template=with_template))
    return [encoder.frames(event) for event in events]


def test_block_is_opened_when_the_kind_of_event_changes() -> None:
    events = (ReasoningDelta("a"), ReasoningDelta("b"), TextDelta("c"), TextDelta("d"), ReasoningDelta("e"))

    assert frames(*events) == [b'<thought0>("a")', b'("b")', b'<text0>("c")', b'("d")', b'<thought0>("e")']


def test_each_call_opens_its_own_block() -> None:
    events = (
        ToolCallDelta(0, "c0", "f", ""),
        ToolCallDelta(0, "", "", "{"),
        ToolCallDelta(1, "c1", "g", "1"),
        TextDelta("x"),
    )

    assert frames(*events) == [b"<call00:c0:f:>", b'("{")', b'<call01:c1:g:>("1")', b'<text0>("x")']


def test_without_frame_template_each_token_is_encoded() -> None:
    assert frames(TextDelta("a"), TextDelta(""), TextDelta("b"), with_template=False) == [b"<text0>[a]", b"", b"[b]"]


class LogprobsEncoder(RecordingEncoder):
    """An encoder of a dialect with log probabilities."""

    def token_with_logprobs(self, text: str, logprobs: bytes) -> bytes:
        return f"[{text}|{logprobs.decode()}]".encode()


def test_log_probabilities_are_encoded_by_a_dialect_that_has_them() -> None:
    delta = TextDelta("a", logprobs=b"{}")
    encoder = EventEncoder(LogprobsEncoder())

    assert [encoder.frames(delta), encoder.frames(TextDelta("b"))] == [b"<text0>[a|{}]", b'("b")']
    assert frames(delta) == [b'<text0>("a")']


def test_end_finishes_choice_0() -> None:
    assert EventEncoder(RecordingEncoder()).end(FINISHED, TIMING) == b"</0stop></up-1>"


def call(text: str) -> ToolCallDelta:
    return ToolCallDelta(0, text, text, text)


@pytest.mark.parametrize("dialect", [OPENAI_CHAT, ANTHROPIC], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("text", ["\n\n", "a\r\nb\r", "\n\ndata: [DONE]\n\n", "\u2028\x85\x00", 'event: error"}\\'])
@pytest.mark.parametrize("kind", ["text", "thought", "call"])
def test_any_text_stays_within_its_frame(dialect: Dialect, text: str, kind: str) -> None:
    def encoded(content: str) -> bytes:
        event = {"text": TextDelta, "thought": ReasoningDelta}.get(kind, call)(content)
        return EventEncoder(dialect.encoder(request, IDENTITY)).frames(event)

    request = parsed_request(dialect, messages=MESSAGES, max_tokens=9)
    frames, expected = encoded(text), encoded("x")

    assert frames.count(b"\n") == expected.count(b"\n")
    assert b"\r" not in frames
    assert len(frames.splitlines()) == len(expected.splitlines())


# Accumulator


def accumulate(*events: OutputEvent) -> ResponseChoice:
    accumulator = Accumulator()
    for event in events:
        accumulator.on_event(event)
    return accumulator.choice(Finished("tool_calls", "m"))


def test_accumulator_joins_all_events_to_one_choice() -> None:
    choice = accumulate(ReasoningDelta("a"), TextDelta("b"), ReasoningDelta("c"), TextDelta(" d"))

    assert choice == ResponseChoice(text="b d", reason="tool_calls", thought="ac")


def test_accumulator_joins_deltas_by_call_index() -> None:
    parts = (
        ToolCallDelta(1, "c1", "g", "1"),
        ToolCallDelta(0, "c0", "f", "{"),
        ToolCallDelta(1, "", "", "2"),
        ToolCallDelta(0, "", "", "}"),
    )

    assert accumulate(*parts).calls == (ToolCall("c0", "f", "{}"), ToolCall("c1", "g", "12"))


def test_accumulator_without_events_gives_an_empty_choice() -> None:
    assert accumulate() == ResponseChoice(text="", reason="tool_calls")


@pytest.mark.slow
def test_many_small_events_take_no_more_memory_than_their_text() -> None:
    count = 50_000

    def read() -> Accumulator:
        accumulator = Accumulator()
        for number in range(count):
            text = f"{number % 90 + 10}"
            for event in (TextDelta(text), ReasoningDelta(text), ToolCallDelta(0, "c", "f", text)):
                accumulator.on_event(event)
        return accumulator

    assert held_bytes(read) < 3 * 4 * 2 * count + 10_000
