import msgspec

from tokenfall.conversations import TurnEnd
from tokenfall.events import Finished
from tokenfall.turns.copying import ENDED_AT_MOST, GIVE_UP_S, RENEW_S, Copies, Copy, encoded
from tokenfall.turns.turn import RunningTurn

from tests.doubles.turns import turn_that_said

GENUINE = TurnEnd(Finished("stop", "model-1"))


def ended(copies: Copies, now_s: float) -> RunningTurn:
    """A turn that is seen to have ended then."""
    turn = turn_that_said("a")
    turn.end = GENUINE
    copies.add(turn)
    copies.take(now_s)
    return turn


def test_a_new_turn_is_told_and_a_silent_one_now_and_then() -> None:
    turn = turn_that_said()
    copy = Copy(turn)

    assert copy.take(0.0)
    copy.written(0, now_s=0.0)
    assert not copy.take(RENEW_S - 0.01)
    assert copy.take(RENEW_S)


def test_what_was_said_since_is_taken_and_what_is_lost_is_taken_again() -> None:
    turn = turn_that_said("a", "b")
    copy = Copy(turn)
    copy.take(1.0)
    turn.add("c")  # said while the batch is under way

    assert copy.script_arguments()[2:5] == (0, 2, b'["a","b"]')
    copy.written(2, now_s=1.0)
    assert copy.take(1.0)
    assert copy.script_arguments()[2:5] == (2, 3, b'["c"]')
    copy.written(1, now_s=1.0)
    assert copy.take(1.0)
    assert copy.script_arguments()[2:5] == (1, 3, b'["b","c"]')


def test_an_end_that_comes_while_the_batch_is_under_way_is_not_told_with_it() -> None:
    turn = turn_that_said("a")
    copy = Copy(turn)
    copy.take(1.0)
    turn.end = GENUINE

    assert copy.script_arguments()[5] == b""
    assert copy.take(1.0)
    assert copy.script_arguments()[5] == msgspec.json.encode(GENUINE)


def test_the_key_of_a_turn_is_free_only_when_it_came_to_nothing() -> None:
    for pieces, end, free in (
        ((), None, 0),
        ((), GENUINE, 0),
        (("a",), TurnEnd(code="stopped"), 0),
        ((), TurnEnd(code="stopped"), 1),
    ):
        turn = turn_that_said(*pieces)
        turn.end = end
        copy = Copy(turn)
        copy.take(1.0)
        assert copy.script_arguments()[6] == free


def test_ends_that_cannot_be_told_are_given_up_in_time() -> None:
    copies = Copies()
    copies.add(turn_that_said("a"))
    ended(copies, 1.0)
    ended(copies, 2.0)

    copies.give_up(1.0 + GIVE_UP_S)
    assert len(copies) == 3
    copies.give_up(1.5 + GIVE_UP_S)
    assert len(copies) == 2
    copies.give_up(1000.0)
    assert len(copies) == 1, "who still answers is never given up"


def test_of_too_many_ends_the_newest_are_kept() -> None:
    copies = Copies()
    first = ended(copies, 1.0)
    for _ in range(ENDED_AT_MOST):
        turn = turn_that_said("a")
        turn.end = GENUINE
        copies.add(turn)
    taken = copies.take(1.0)
    copies.give_up(1.0)

    assert len(copies) == ENDED_AT_MOST
    assert taken[0].turn is first
    assert first not in [copy.turn for copy in copies.take(1.0)]


def test_a_copy_that_was_replaced_meanwhile_does_not_drop_the_new_one() -> None:
    copies, turn = Copies(), turn_that_said("a")
    copies.add(turn)
    (old,) = copies.take(1.0)
    copies.add(turn)
    copies.drop(old)
    assert len(copies) == 1


def test_half_a_surrogate_pair_is_told_as_a_question_mark() -> None:
    assert encoded(["a", "\ud83d", "🦊"]) == '["a","?","🦊"]'.encode()
