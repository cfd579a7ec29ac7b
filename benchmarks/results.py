"""The result file of a run: figures, machine and commit. Nothing in it is rounded."""

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
    """The head, and every row as not selected. If the file exists already, its rows are included unchanged.

    Called before anything is measured, because the run itself changes the tree.
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


def update_rows(result: Result, rows: list[dict[str, Any]]) -> Path:
    """Replace the rows of the same names, and write the file."""
    new = {row["row"]: row for row in rows}
    result["rows"] = [new.get(row["row"], row) for row in result["rows"]]
    path = path_of(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def path_of(result: Result) -> Path:
    """`<UTC date>-<short commit>.json`; the file of a quick run is not among the results."""
    name = f"{result['begun'][:10]}-{result['short_commit']}.json"
    return (BUILD / "quick" if result["quick"] else RESULTS) / name


def is_complete(result: Result) -> bool:
    """Whether every row was selected, so that the result may be published in the documentation."""
    return not result["quick"] and all(row.get("not_measured") != NOT_ASKED_FOR for row in result["rows"])


def _earlier_rows(result: Result) -> list[dict[str, Any]]:
    """The rows of an earlier run of the same day, commit and machine, without changes of the tree."""
    path = path_of(result)
    if result["dirty"] or result["quick"] or not path.exists():
        return []
    earlier = json.loads(path.read_text())
    same = all(earlier[key] == result[key] for key in ("commit", "dirty", "machine", "cores"))
    rows: list[dict[str, Any]] = earlier["rows"] if same else []
    return rows
