"""Rows read from the history are those written for their time, and idle times are filled in."""

from math import isnan
from typing import Any

import pytest

from tokenfall.metrics.history import (
    CODES,
    FIELDS,
    MINUTES,
    MODELS,
    NAME_BYTES,
    SECONDS,
    SIZE_BYTES,
    MetricsHistory,
    Ring,
)
from tokenfall.slicing.computation import at_once

Row = tuple[Any, ...]

NOW = 1_000_000


def row(streams: int, *, resident_kib: int = 0) -> list[float]:
    """A row that is identified by its number of streams."""
    return [streams, 1, resident_kib, *[0] * (len(FIELDS) - 3 + CODES.places + MODELS.places)]


def streams(rows: list[Row | None]) -> list[int | None]:
    return [None if each is None else each[0] for each in rows]


def read(history: MetricsHistory, ring: Ring = SECONDS, *, newest: int = NOW, count: int = 5) -> list[Row | None]:
    return at_once(history.read(ring, newest=newest, count=count))


def test_store_holds_15_minutes_and_24_hours_in_347_424_bytes() -> None:
    assert (SECONDS.rows * SECONDS.step_s, MINUTES.rows * MINUTES.step_s) == (15 * 60, 24 * 60 * 60)
    assert SIZE_BYTES == 347_424


def test_history_is_empty_before_the_first_row() -> None:
    assert read(MetricsHistory()) == []


def test_range_that_starts_before_the_clock_has_no_earlier_rows() -> None:
    history = MetricsHistory()
    history.write(row(1), MINUTES, number=3, idle=False)

    assert streams(read(history, MINUTES, newest=5, count=MINUTES.rows)) == [1, None, None]


def test_row_round_trips() -> None:
    history = MetricsHistory()
    written = [*range(len(FIELDS) + CODES.places), *(0.5**n for n in range(MODELS.places))]
    history.write(written, MINUTES, number=NOW, idle=False)

    assert read(history, MINUTES) == [tuple(written)]


def test_rows_are_in_time_order_and_missing_rows_are_none() -> None:
    history = MetricsHistory()
    for number in (NOW, NOW - 3, NOW - 2):
        history.write(row(NOW - number), SECONDS, number=number, idle=False)

    assert streams(read(history)) == [3, 2, None, 0]
    assert streams(read(history, newest=NOW + 1)) == [3, 2, None, 0, None]


@pytest.mark.parametrize("ring", [SECONDS, MINUTES])
def test_ring_keeps_its_newest_rows(ring: Ring) -> None:
    history = MetricsHistory()
    for number in range(NOW - 2 * ring.rows, NOW + 1):
        history.write(row(number), ring, number=number, idle=False)

    assert streams(read(history, ring, count=ring.rows)) == [*range(NOW - ring.rows + 1, NOW + 1)]


def test_rings_do_not_overlap() -> None:
    history = MetricsHistory()
    for ring, number in ((SECONDS, SECONDS.rows - 1), (MINUTES, 0), (MINUTES, MINUTES.rows - 1)):
        history.write(row(7), ring, number=number, idle=False)
    history.place(MODELS, "m" * NAME_BYTES)

    assert streams(read(history, SECONDS, newest=SECONDS.rows - 1, count=1)) == [7]
    assert streams(read(history, MINUTES, newest=0, count=1)) == [7]
    assert streams(read(history, SECONDS, newest=0, count=1)) == []


# Idle times


def test_seconds_after_an_idle_row_have_only_its_memory() -> None:
    history = MetricsHistory()
    history.write(row(2, resident_kib=20_000), SECONDS, number=NOW - 3, idle=True)
    history.write(row(5), SECONDS, number=NOW, idle=False)
    first, second, third, last = read(history)

    assert (first or ())[:3] == (2, 1, 20_000)
    assert second == third
    assert second is not None
    assert second[:8] == (0, 0, 20_000, 0, 0, 0, 0, 0)
    assert len(second) == len(first or ())
    assert sum(not isnan(value) for value in second) == 7 + 3 + CODES.places
    assert (last or ())[0] == 5


def test_server_idle_before_the_range_is_idle_in_it() -> None:
    history = MetricsHistory()
    history.write(row(9, resident_kib=1), SECONDS, number=NOW - 50, idle=False)
    history.write(row(2, resident_kib=2), SECONDS, number=NOW - 30, idle=True)
    history.write(row(9, resident_kib=3), SECONDS, number=NOW - 40, idle=False)

    assert [(each or ())[2] for each in read(history)] == [2] * 5


def test_server_not_idle_before_the_range_has_no_rows_in_it() -> None:
    history = MetricsHistory()
    history.write(row(2), SECONDS, number=NOW - 30, idle=False)

    assert read(history) == []


# NameTable


def test_name_keeps_its_index() -> None:
    history = MetricsHistory()

    assert [history.place(CODES, name) for name in ("429", "503", "429")] == [0, 1, 0]
    assert history.names(CODES) == ["429", "503", *[""] * (CODES.places - 3), "other"]
    assert history.names(MODELS) == [*[""] * (MODELS.places - 1), "other"]


def test_names_beyond_the_table_share_the_last_entry() -> None:
    history = MetricsHistory()
    places = [history.place(MODELS, f"model-{number}") for number in range(20)]

    assert places == [*range(MODELS.places - 1), *[MODELS.places - 1] * (20 - MODELS.places + 1)]


def test_long_name_is_cut_between_characters() -> None:
    history = MetricsHistory()
    name = "é" * 40

    assert [history.place(MODELS, name), history.place(MODELS, name)] == [0, 0]
    assert history.names(MODELS)[0] == "é" * (NAME_BYTES // 2)
    assert history.place(MODELS, "m" + name) == 1
    assert history.names(MODELS)[1] == "m" + "é" * (NAME_BYTES // 2 - 1)
