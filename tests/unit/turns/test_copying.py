import msgspec

from tokenfall.conversations import TurnEnd
from tokenfall.events import Finished
from tokenfall.turns.copying import ENTRY_BYTES, GIVE_UP_S, MAX_ENDED, RENEW_S, Copies, Copy, encoded
from tokenfall.turns.turn import RunningTurn

from tests.doubles.turns import running_turn

GENUINE = TurnEnd(Finished("stop", "model-1"))


def ended(copies: Copies, now_s: float) -> RunningTurn:
    """Add an ended turn to `copies` at this time."""
    turn = running_turn("a")
    turn.end = GENUINE
    copies.add(turn)
    copies.take(now_s)
    return turn


def test_new_turn_is_written_and_an_idle_one_is_renewed() -> None:
    turn = running_turn()
    copy = Copy(turn)

    assert copy.take(0.0)
    copy.written(0, now_s=0.0)
    assert not copy.take(RENEW_S - 0.01)
    assert copy.take(RENEW_S)


def test_new_and_unconfirmed_chunks_are_written() -> None:
    turn = running_turn("a", "b")
    copy = Copy(turn)
    copy.take(1.0)
    turn.add("c")  # added while the batch is being written

    assert copy.script_arguments()[2:5] == (0, 2, b'["a","b"]')
    copy.written(2, now_s=1.0)
    assert copy.take(1.0)
    assert copy.script_arguments()[2:5] == (2, 3, b'["c"]')
    copy.written(1, now_s=1.0)
    assert copy.take(1.0)
    assert copy.script_arguments()[2:5] == (1, 3, b'["b","c"]')


def test_long_text_is_written_in_several_entries_and_the_end_with_the_last() -> None:
    piece = "x" * (ENTRY_BYTES // 2)
    turn = running_turn(piece, piece, "y")
    copy = Copy(turn)
    turn.end = GENUINE
    assert copy.take(1.0)
    assert copy.script_arguments()[2:4] == (0, 2)
    assert copy.script_arguments()[5] == b""
    assert copy.has_more
    copy.written(2, now_s=1.0)

    assert copy.take(1.0)
    assert copy.script_arguments()[2:6] == (2, 3, b'["y"]', msgspec.json.encode(GENUINE))
    assert not copy.has_more


def test_end_during_a_batch_is_written_with_the_next() -> None:
    turn = running_turn("a")
    copy = Copy(turn)
    copy.take(1.0)
    turn.end = GENUINE

    assert copy.script_arguments()[5] == b""
    assert copy.take(1.0)
    assert copy.script_arguments()[5] == msgspec.json.encode(GENUINE)


def test_key_is_freed_only_by_a_turn_without_text() -> None:
    for pieces, end, free in (
        ((), None, 0),
        ((), GENUINE, 0),
        (("a",), TurnEnd(code="stopped"), 0),
        ((), TurnEnd(code="stopped"), 1),
    ):
        turn = running_turn(*pieces)
        turn.end = end
        copy = Copy(turn)
        copy.take(1.0)
        assert copy.script_arguments()[6] == free


def test_unwritten_ends_are_dropped_after_the_timeout() -> None:
    copies = Copies()
    copies.add(running_turn("a"))
    ended(copies, 1.0)
    ended(copies, 2.0)

    copies.give_up(1.0 + GIVE_UP_S)
    assert len(copies) == 3
    copies.give_up(1.5 + GIVE_UP_S)
    assert len(copies) == 2
    copies.give_up(1000.0)
    assert len(copies) == 1, "a running turn is not dropped"


def test_number_of_unwritten_ends_is_limited_to_the_newest() -> None:
    copies = Copies()
    first = ended(copies, 1.0)
    for _ in range(MAX_ENDED):
        turn = running_turn("a")
        turn.end = GENUINE
        copies.add(turn)
    copied = copies.take(1.0)
    copies.give_up(1.0)

    assert len(copies) == MAX_ENDED
    assert copied[0].turn is first
    assert first not in [copy.turn for copy in copies.take(1.0)]


def test_copy_that_was_replaced_meanwhile_does_not_drop_the_new_one() -> None:
    copies, turn = Copies(), running_turn("a")
    copies.add(turn)
    (old,) = copies.take(1.0)
    copies.add(turn)
    copies.drop(old)
    assert len(copies) == 1


def test_lone_surrogate_is_written_as_a_question_mark() -> None:
    assert encoded(["a", "\ud83d", "🦊"]) == '["a","?","🦊"]'.encode()
