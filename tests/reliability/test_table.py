"""docs/reliability.md has one row per fault injection test, with the counts of a full run."""

import re
from pathlib import Path

import pytest

from tests.reliability.bounds import percent, upper_bound
from tests.reliability.rows import BEGIN, END, FULL, PAGE, ROWS, Row, Tally, rows_of, with_row

HERE = Path(__file__).parent
ROW_MARK = re.compile(r'pytest\.mark\.row\("([^"]+)"\)')


def page_rows() -> list[list[str]]:
    table = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return rows_of(table)


def test_every_row_has_one_test() -> None:
    files = [*HERE.glob("test_*.py"), *HERE.parent.glob("browser/test_*.py")]
    marked = [name for file in files for name in ROW_MARK.findall(file.read_text(encoding="utf-8"))]

    assert sorted(marked) == sorted(ROWS)


def test_page_has_all_rows_in_order() -> None:
    assert [cells[:2] for cells in page_rows()] == [[row.id, row.description] for row in ROWS.values()]


@pytest.mark.skipif(FULL, reason="this run rewrites the page")
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_page_row_has_the_full_count_and_no_failure(row: Row) -> None:
    (cells,) = [cells for cells in page_rows() if cells[1] == row.description]

    assert cells[2:5] == [row.repetitions(), f"0 of {row.full}", percent(upper_bound(0, row.full))]
    assert cells[5]


def test_update_changes_only_its_row() -> None:
    text = PAGE.read_text(encoding="utf-8")
    row = ROWS["drain"]
    changed = with_row(text, row.cells("1 of 3", "failed", bound="78 %"))

    differ = [(a, b) for a, b in zip(text.splitlines(), changed.splitlines(), strict=True) if a != b]
    assert [b for _, b in differ] == [
        f"| {row.id} | {row.description} | {row.repetitions()} | 1 of 3 | 78 % | failed |"
    ]


def test_page_without_markers_is_rejected() -> None:
    with pytest.raises(ValueError, match="markers"):
        with_row("# Reliability\n", ("a", "b", "c", "d"))


def test_too_few_repetitions_fail() -> None:
    tally = Tally(Row("E1", "what", "times", full=3, quick=3))
    next(tally.rounds())

    with pytest.raises(AssertionError, match="only 1 of 3"):
        tally.passed("nothing")
