import pytest

from benchmarks.measurement import OURS, Goal, Row, Sample, outcome_of
from benchmarks.rows.box import most_served

ROW = Row("row", "what", "ms", target=Goal(2, against="peer"))
COUNTS = (50, 100, 250, 400)


def test_outcome_has_medians_their_ratio_and_the_verdict() -> None:
    pairs = [{OURS: Sample({"row": ours}), "peer": Sample({"row": 2})} for ours in (3, 100, 1)]

    outcome = outcome_of(ROW, pairs)

    assert outcome["medians"] == {OURS: 3, "peer": 2}
    assert outcome["ratios"] == {"peer": 1.5}
    assert outcome["target"] == {"goal": "at most 2 of peer", "figure": 1.5, "met": True}


def test_outcome_of_a_row_without_goals_has_no_verdict() -> None:
    outcome = outcome_of(Row("row", "what", "ms"), [{OURS: Sample({"row": 3})}])

    assert (outcome["target"], outcome["beyond"]) == (None, None)


def test_outcome_is_not_measured_when_a_side_has_no_figure() -> None:
    pairs = [
        {OURS: Sample({"row": 1}), "peer": Sample({"row": 1})},
        {OURS: Sample({}), "peer": Sample({"row": 1})},
    ]

    assert outcome_of(ROW, pairs)["not_measured"] == "tokenfall had no figure in one of the runs"


@pytest.mark.parametrize("limit", [0, *COUNTS])
def test_most_served_returns_the_greatest_count_served(limit: int) -> None:
    assert most_served(COUNTS, lambda count: count <= limit) == limit
