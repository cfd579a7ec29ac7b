import json
from itertools import count
from typing import Any

import pytest

from tokenfall.conversations import Turn, Variant
from tokenfall.errors import InvalidRequest
from tokenfall.events import Usage
from tokenfall.messages import Message
from tokenfall.wire.plain import conversations as plain_conversations
from tokenfall.wire.plain.importing import MAX_MESSAGES, decode_import

PAIR = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
TURN = Turn(
    id="turn_1",
    question=Message("user", "Why?"),
    answer=Message("assistant", "So.", thought="Hm."),
    status="interrupted",
    model="m",
    asked_at=1.5,
    answered_at=2.5,
    finish_reason="length",
    usage=Usage(3, 4),
    ttft_s=0.25,
    tokens_per_s=9.5,
    end_code="stopped",
    thought_s=1.5,
    variants=(Variant(content="No.", status="complete", model="n", answered_at=2.0, finish_reason="stop"),),
)


def decoded(**document: Any) -> tuple[str, list[Turn]]:
    numbers = count(1)
    return decode_import(json.dumps(document).encode(), now_s=9.0, new_id=lambda: f"turn_{next(numbers)}")


def test_exported_history_is_imported_unchanged() -> None:
    messages = json.loads(b"".join(plain_conversations.history([TURN], variants=True)))

    assert decoded(conversation="c", title=" Reasons ", messages=messages) == ("Reasons", [TURN])


def test_messages_without_details_are_imported() -> None:
    title, turns = decoded(messages=PAIR * 2)

    assert title == ""
    assert [(turn.id, turn.asked_at, turn.answered_at, turn.status) for turn in turns] == [
        ("turn_1", 9.0, 9.0, "complete"),
        ("turn_2", 9.0, 9.0, "complete"),
    ]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (PAIR[::-1], r"messages\[0\].*user first"),
        ([*PAIR, PAIR[1], PAIR[0]], r"messages\[2\]"),
        ([*PAIR, PAIR[0]], r"messages\[2\].*assistant"),
        ([{"role": "user", "content": " "}, PAIR[1]], r"messages\[0\].*not be empty"),
        ([], "messages"),
        (PAIR * (MAX_MESSAGES // 2 + 1), "length <= 1000"),
        ([PAIR[0], {"role": "tool", "content": ""}], "tool"),
        ([PAIR[0], {**PAIR[1], "created": -1}], "created"),
        ([PAIR[0], {**PAIR[1], "variants": [{"content": "x"}] * 5}], "variants"),
        ("text", "messages"),
    ],
)
def test_invalid_import_is_refused_with_the_reason(messages: object, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        decoded(messages=messages)


@pytest.mark.parametrize("body", [b"", b"no JSON", b"\xff", b"[" * 99_999, b"{}"])
def test_invalid_conversation_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_import(body, now_s=1.0, new_id=lambda: "turn_1")
