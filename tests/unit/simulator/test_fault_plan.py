from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tokenfall.disconnect import Disconnect
from tokenfall.simulator.concurrency import ConcurrencyLimiters
from tokenfall.simulator.fault_plan import SPLIT_S, SPLIT_SUFFIX, FaultPlan, garbled
from tokenfall.simulator.gates import TestGate
from tokenfall.simulator.values import faults

if TYPE_CHECKING:
    from tokenfall.simulator.fault_plan import Item

TOKENS = 5
END = b"<end>\n"


def played(text: str = "", *, tokens: int = TOKENS, gate_at: int | None = None, end: bytes = END) -> list[object]:
    """The sent items and the gap before each, pulled as by the HTTP server; the gaps are 1.0, 2.0 …"""
    permit, gate = ConcurrencyLimiters().permit(None), TestGate()
    fault_plan = FaultPlan(
        faults(text) if text else (), permit=permit, gate=None if gate_at is None else gate, gate_at=gate_at or 0
    )
    frames = [fault_plan.token_text(number, f"t{number}").encode() + b"\n" for number in range(tokens)]
    items = fault_plan.items(iter([*frames, end]), tokens=tokens, error_frame=lambda: b"<broken>")
    gaps = fault_plan.gaps(map(float, count(1)))
    return [(_name(item, permit, gate), round(next(gaps), 3)) for item in items]


def _name(item: Item, permit: object, gate: object) -> object:
    return "permit" if item is permit else "gate" if item is gate else item


def token(number: int, gap_s: float | None = None) -> tuple[bytes, float]:
    return b"t%d\n" % number, number + 1.0 if gap_s is None else gap_s


PERMIT = ("permit", 0.0)
ALL = [PERMIT, *map(token, range(TOKENS))]
AT = [0, 2, TOKENS - 1]


def test_stream_without_faults_is_unchanged() -> None:
    assert played() == [*ALL, (END, 6.0)]


@pytest.mark.parametrize("kind", ["reset", "close"])
@pytest.mark.parametrize("at", [*AT, TOKENS, 99])
def test_disconnect_precedes_its_token(kind: str, at: int) -> None:
    assert played(f"{kind}@{at}") == [*ALL[: 1 + at], (Disconnect(kind), 0.0)]  # type: ignore[arg-type]


@pytest.mark.parametrize("at", [*AT, TOKENS, 99])
def test_error_frame_replaces_its_token_and_ends_the_stream(at: int) -> None:
    at_gap = min(at, TOKENS) + 1.0
    assert played(f"error@{at}") == [*ALL[: 1 + at], (b"<broken>", at_gap)]


@pytest.mark.parametrize("at", [*AT, TOKENS, 99])
def test_garbage_precedes_its_token(at: int) -> None:
    frame = b"t%d\n" % at if at < TOKENS else END
    assert played(f"garbage@{at}") == [
        *ALL[: 1 + at],
        (garbled(frame), 0.0),
        *ALL[1 + at :],
        (END, 6.0),
    ]


@pytest.mark.parametrize("at", AT)
def test_split_token_is_sent_in_two_writes_split_inside_a_character(at: int) -> None:
    before, after = f"t{at}{SPLIT_SUFFIX}\n".encode()[:3], f"t{at}{SPLIT_SUFFIX}\n".encode()[3:]
    assert played(f"split@{at}") == [
        *ALL[: 1 + at],
        (before, at + 1.0),
        (after, SPLIT_S),
        *ALL[2 + at :],
        (END, 6.0),
    ]
    with pytest.raises(UnicodeDecodeError):
        before.decode()


@pytest.mark.parametrize("at", [TOKENS, 99])
def test_split_after_the_last_token_splits_the_end_frame(at: int) -> None:
    assert played(f"split@{at}") == [*ALL, (END[:3], 6.0), (END[3:], SPLIT_S)]


@pytest.mark.parametrize("at", [0, 2, 99])
def test_stream_without_its_end_has_all_tokens(at: int) -> None:
    assert played(f"nodone@{at}") == ALL


@pytest.mark.parametrize("at", [*AT, TOKENS])
def test_stall_lengthens_one_gap(at: int) -> None:
    expected: list[tuple[object, float]] = [*ALL, (END, 6.0)]
    item, gap_s = expected[1 + at]
    expected[1 + at] = (item, gap_s + 30.0)

    assert played(f"stall@{at}:30s") == expected


@pytest.mark.parametrize("at", [*AT, TOKENS])
def test_drip_replaces_all_gaps_from_its_token_on(at: int) -> None:
    expected = [*ALL, (END, 6.0)]

    assert played(f"drip@{at}:500ms") == [*expected[: 1 + at], *((item, 0.5) for item, _ in expected[1 + at :])]


def test_several_faults_happen_at_their_tokens() -> None:
    assert played("drip@1:1s+stall@3:30s+garbage@2+split@0+reset@4") == [
        PERMIT,
        (f"t0{SPLIT_SUFFIX}".encode()[:3], 1.0),
        (f"t0{SPLIT_SUFFIX}\n".encode()[3:], SPLIT_S),
        (b"t1\n", 1.0),
        (garbled(b"t2\n"), 0.0),
        (b"t2\n", 1.0),
        (b"t3\n", 31.0),  # the stall is added to the gap of the drip
        (Disconnect("reset"), 0.0),
    ]


def test_most_severe_of_several_faults_at_one_token_applies() -> None:
    assert played("close@1+reset@1+error@1") == [*ALL[:2], (Disconnect("reset"), 0.0)]
    assert played("stall@1:30s+stall@1:10s", tokens=2)[2] == (b"t1\n", 42.0)


def test_gate_precedes_each_token_from_its_position_on() -> None:
    assert played(gate_at=3) == [
        *ALL[:4],
        ("gate", 0.0),
        token(3),
        ("gate", 0.0),
        token(4),
        (END, 6.0),
    ]


def test_disconnect_precedes_a_gate_at_the_same_token() -> None:
    assert played("reset@0", gate_at=0) == [PERMIT, (Disconnect("reset"), 0.0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ALL),
        ("split@5", ALL),
        ("nodone@5", ALL),
        ("reset@5", [*ALL, (Disconnect("reset"), 0.0)]),
        ("error@9", [*ALL, (b"<broken>", 6.0)]),
    ],
)
def test_faults_at_the_end_apply_to_a_format_without_an_end_frame(text: str, expected: list[object]) -> None:
    assert played(text, end=b"") == expected


def test_response_without_tokens_has_an_end() -> None:
    assert played("reset@7", tokens=0) == [PERMIT, (Disconnect("reset"), 0.0)]
    assert played(tokens=0) == [PERMIT, (END, 1.0)]
    assert played("nodone@0", tokens=0) == [PERMIT]


def test_only_split_faults_change_the_writes() -> None:
    fault_plan = FaultPlan(faults("split@1+reset@2"), permit=ConcurrencyLimiters().permit(None))

    assert [fault_plan.token_text(number, "a") for number in range(3)] == ["a", "a" + SPLIT_SUFFIX, "a"]


@pytest.mark.parametrize(
    "frame",
    [b"data: [DONE]\n\n", b'{"a":1}\n', b'event: x\ndata: {"a":1}\n\n', b'data: {"a":1}\n\ndata: {"b":2}\n\n', b""],
)
def test_garbage_is_invalid_utf_8_and_ends_like_its_frame(frame: bytes) -> None:
    garbage = garbled(frame)

    assert garbage.endswith(b"\0" + frame[len(frame.rstrip(b"\n")) :])
    *_, last = garbage.rstrip(b"\n").split(b"\n")
    assert last.startswith((b"data: ", b"{")) or not frame
    with pytest.raises(UnicodeDecodeError):
        last.decode()


def test_frames_are_chunk_encoded_when_sent() -> None:
    def encode_chunk(frame: bytes) -> bytes:
        return b"<%b>" % frame

    def items(text: str) -> Iterator[Item]:
        return FaultPlan(faults(text), permit=ConcurrencyLimiters().permit(None)).items(
            iter([b"a", b"z"]), tokens=1, error_frame=lambda: b"!", encode_chunk=encode_chunk
        )

    assert list(items("garbage@0"))[1:] == [b"<%b>" % garbled(b"a"), b"<a>", b"<z>"]
    assert list(items("error@1"))[1:] == [b"<a>", b"<!>"]
    assert b"".join(item for item in items("split@0") if isinstance(item, bytes)) == b"<a><z>"


@pytest.mark.parametrize(
    ("text", "has_end", "in_error", "in_token"),
    [
        ("stall@1:5s", True, False, False),
        ("stall@1:5s", False, False, True),
        ("nodone@1", True, False, True),
        ("error@1", True, True, False),
        ("error@1", False, True, False),
        ("nodone@1+error@1", True, True, False),
    ],
)
def test_stream_ends_in_its_end_frame_an_error_or_a_token(
    text: str, *, has_end: bool, in_error: bool, in_token: bool
) -> None:
    fault_plan = FaultPlan(faults(text), permit=ConcurrencyLimiters().permit(None))

    assert fault_plan.ends_in_error == in_error
    assert fault_plan.ends_in_token(has_end=has_end) == in_token
