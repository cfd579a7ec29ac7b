import pytest

from tokenfall.events import Finished, TextDelta, Usage


def test_total_tokens_is_prompt_plus_completion() -> None:
    assert Usage(3, 4).total_tokens == 7


def test_usage_may_be_unknown() -> None:
    assert Finished("stop", "m").usage is None


def test_event_is_immutable() -> None:
    delta = TextDelta("said")
    with pytest.raises(AttributeError):
        delta.text = "unsaid"  # type: ignore[misc]
