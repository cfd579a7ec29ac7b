from itertools import chain

import pytest

from tokenfall.history.recency import SPARE, Recency


def used_names(*names: str) -> Recency:
    recency = Recency()
    for name in names:
        recency.use(name)
    return recency


def test_names_are_ordered_by_last_use() -> None:
    recency = used_names("a", "b", "c", "a")

    assert len(recency) == 3
    assert recency.page(9, None) == ["a", "c", "b"]
    assert recency.page(2, None) == ["a", "c"]


def test_page_starts_after_any_name() -> None:
    recency = used_names("a", "b", "c", "a")

    assert [recency.page(1, after) for after in ("a", "c", "b")] == [["c"], ["b"], []]
    with pytest.raises(KeyError):
        recency.page(1, "d")


def test_dropped_name_is_not_listed_until_used_again() -> None:
    recency = used_names("a", "b", "c")
    recency.drop("b")
    assert recency.page(9, None) == ["c", "a"]
    recency.use("b")

    assert recency.page(9, None) == ["b", "c", "a"]


def test_pages_are_correct_after_any_sequence_of_uses() -> None:
    recency = used_names(*(str(number % 7) for number in range(10 * SPARE)), "0", "1")
    pages = [recency.page(3, None)]
    while pages[-1]:
        pages.append(recency.page(3, pages[-1][-1]))

    newest = [str(number % 7) for number in reversed(range(10 * SPARE - 7, 10 * SPARE))]
    assert list(chain(*pages)) == ["1", "0", *(name for name in newest if name not in "01")]
