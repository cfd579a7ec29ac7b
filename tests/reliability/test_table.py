"""docs/reliability.md has a line for every test of this folder, with the count of a full run."""

import re
from pathlib import Path

import pytest

from tests.reliability.bounds import percent, upper_bound
from tests.reliability.rows import BEGIN, END, FULL, PAGE, ROWS, Row, Tally, rows_of, with_row

HERE = Path(__file__).parent
PROVES = re.compile(r'pytest\.mark\.row\("([^"]+)"\)')


def on_the_page() -> list[list[str]]:
    table = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return rows_of(table)


def test_every_row_is_proved_by_one_test() -> None:
    files = [*HERE.glob("test_*.py"), *HERE.parent.glob("browser/test_*.py")]
    named = [name for file in files for name in PROVES.findall(file.read_text(encoding="utf-8"))]

    assert sorted(named) == sorted(ROWS)


def test_the_page_has_the_rows_in_order() -> None:
    assert [cells[:2] for cells in on_the_page()] == [[row.id, row.what] for row in ROWS.values()]


@pytest.mark.skipif(FULL, reason="they are being written")
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_page_has_the_full_count_without_a_failure(row: Row) -> None:
    (cells,) = [cells for cells in on_the_page() if cells[1] == row.what]

    assert cells[2:5] == [row.often(), f"0 of {row.full}", percent(upper_bound(0, row.full))]
    assert cells[5]


def test_only_its_own_row_is_written() -> None:
    text = PAGE.read_text(encoding="utf-8")
    row = ROWS["drain"]
    changed = with_row(text, row.cells("1 of 3", "a failure", bound="78 %"))

    differ = [(a, b) for a, b in zip(text.splitlines(), changed.splitlines(), strict=True) if a != b]
    assert [b for _, b in differ] == [f"| {row.id} | {row.what} | {row.often()} | 1 of 3 | 78 % | a failure |"]


def test_a_page_without_its_markers_is_not_written() -> None:
    with pytest.raises(ValueError, match="markers"):
        with_row("# Reliability\n", ("a", "b", "c", "d"))


def test_a_test_that_did_less_than_it_should_has_not_passed() -> None:
    tally = Tally(Row("E1", "what", "times", full=3, quick=3))
    next(tally.rounds())

    with pytest.raises(AssertionError, match="only 1 of 3"):
        tally.passed("nothing")
