"""The result file of a run: what was measured, where, at which commit. Nothing in it is rounded."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bench import ROOT, Bench
from benchmarks.machine import describe_commit, describe_machine
from benchmarks.measurement import without_outcome
from benchmarks.rows import MEASUREMENTS
from benchmarks.toolchain import BUILD, HERE

RESULTS = HERE / "results"
NOT_ASKED_FOR = "not asked for"

Result = dict[str, Any]


def begin_result(bench: Bench, pairs: int) -> Result:
    """The head, and every row as not asked for; where the file was begun before, its rows as they are.

    Taken before anything is measured, as the run itself changes the tree.
    """
    result = {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        **describe_commit(ROOT, except_for=("benchmarks/results", "docs/performance.md")),
        "machine": describe_machine(),
        "cores": {"server": bench.server_core, "load": bench.load_core},
        "pairs": pairs,
        "quick": bench.quick,
    }
    none_yet = [without_outcome(row, NOT_ASKED_FOR) for one in MEASUREMENTS for row in one.rows]
    return {**result, "rows": _earlier_rows(result) or none_yet}


def put_rows(result: Result, rows: list[dict[str, Any]]) -> Path:
    """Puts new rows in the place of the same ones, and writes the file."""
    new = {row["row"]: row for row in rows}
    result["rows"] = [new.get(row["row"], row) for row in result["rows"]]
    path = path_of(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def path_of(result: Result) -> Path:
    """`<UTC date>-<short commit>.json`; a quick run is a trial, and stays out of the results."""
    name = f"{result['begun'][:10]}-{result['short_commit']}.json"
    return (BUILD / "quick" if result["quick"] else RESULTS) / name


def is_whole(result: Result) -> bool:
    """Whether every row was asked for, so that the result may stand in the documentation."""
    return not result["quick"] and all(row.get("not_measured") != NOT_ASKED_FOR for row in result["rows"])


def _earlier_rows(result: Result) -> list[dict[str, Any]]:
    """What a run of the same day measured for the same commit, unchanged, on the same machine."""
    path = path_of(result)
    if result["dirty"] or result["quick"] or not path.exists():
        return []
    earlier = json.loads(path.read_text())
    same = all(earlier[key] == result[key] for key in ("commit", "dirty", "machine", "cores"))
    rows: list[dict[str, Any]] = earlier["rows"] if same else []
    return rows
