import pytest

from tokenfall.events import Finished, TextDelta, Usage


def test_the_total_is_both_together() -> None:
    assert Usage(3, 4).total_tokens == 7


def test_usage_may_be_unknown() -> None:
    assert Finished("stop", "m").usage is None


def test_an_event_does_not_change() -> None:
    delta = TextDelta("said")
    with pytest.raises(AttributeError):
        delta.text = "unsaid"  # type: ignore[misc]
