import pytest

from tokenfall.history.newest import within_bytes


@pytest.mark.parametrize(
    ("max_bytes", "expected"),
    [(None, ["aaa", "bb", "c"]), (6, ["aaa", "bb", "c"]), (5, ["aaa", "bb"]), (3, ["aaa"]), (0, ["aaa"])],
)
def test_items_end_before_the_first_that_exceeds_the_size_but_one_is_returned(
    max_bytes: int | None, expected: list[str]
) -> None:
    assert list(within_bytes(["aaa", "bb", "c"], max_bytes, size=len)) == expected
