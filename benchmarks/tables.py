"""Formats a result as a table, for the terminal and for docs/performance.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.bench import ROOT
from benchmarks.measurement import OURS
from benchmarks.results import NOT_ASKED_FOR, Result

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
WHOLE = 0.98
HEADINGS = ("measurement", "Tokenfall", "reference", "target", "stretch target")
EMPTY_PAGE = f"""# Performance

Tokenfall compared with reference servers that do the same job. `gosim` and `gorelay` are written in Go with the
standard library; `floor` is one C thread that does nothing except one `send()` per token. Figures are medians of pairs
of alternating runs, with the server on one core and the load on another; `benchmarks/README.md` describes each row.
Machines differ, so the ratios are more meaningful than the absolute figures. `make bench` measures again and updates
this table.

{BEGIN}
{END}
"""


def terminal_table(result: Result) -> Table:
    table = Table(*HEADINGS, title="Tokenfall and reference servers")
    for row in result["rows"]:
        if row.get("not_measured") != NOT_ASKED_FOR:
            table.add_row(*_cells(row))
    return table


def markdown_table(result: Result, source: str) -> str:
    """The table, followed by a line with its origin; `source` is the link to the result file."""
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS))]
    lines += [_line(_cells(row)) for row in result["rows"]]
    machine = result["machine"]
    tree = "commit `{short_commit}`{changes}".format(
        short_commit=result["short_commit"], changes=" with uncommitted changes" if result["dirty"] else ""
    )
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:g} GiB, "
        f"Linux {machine['kernel']}, {machine['python']}"
    )
    pairs = min((len(row["pairs"]) for row in result["rows"] if "pairs" in row), default=0)
    origin = f"Measured {result['begun'][:10]} at {tree}, {pairs} pairs or more, on {where}."
    return "\n".join([*lines, "", f"{origin} Raw pairs: [{Path(source).name}]({source})."])


def write_page(result: Result, source: Path, *, older: Sequence[tuple[Result, Path]] = (), page: Path = PAGE) -> None:
    """Replace the text between the two markers of the page.

    Rows that `result` does not contain are taken from `older` results, each with its own table and origin.
    """
    text = page.read_text() if page.exists() else EMPTY_PAGE
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page.name} does not have the markers {BEGIN} and {END}")
    tables = []
    shown: set[str] = set()
    for each, path in ((result, source), *older):
        rows = [row for row in each["rows"] if "pairs" in row and row["row"] not in shown] if older else each["rows"]
        shown |= {row["row"] for row in rows}
        if rows:
            tables.append(markdown_table({**each, "rows": rows}, f"../{path.relative_to(ROOT)}"))
    table = "\n\n".join(tables)
    page.parent.mkdir(exist_ok=True)
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: dict[str, Any]) -> list[str]:
    if "not_measured" in row:
        return [row["what"], f"not measured: {row['not_measured']}", "", "", ""]
    beside = (
        f"{side} {_number(value)}{_shortfall(row, side)}" for side, value in row["medians"].items() if side != OURS
    )
    ours = f"{_number(row['medians'][OURS])} {row['unit']}{_shortfall(row, OURS)}"
    return [row["what"], ours, ", ".join(beside), _verdict(row["target"]), _verdict(row["beyond"])]


def _shortfall(row: dict[str, Any], side: str) -> str:
    """A note for a figure of a server that did not send all tokens: it was at its limit, or the machine was busy."""
    share = row["delivered"].get(side, 1.0)
    return "" if share >= WHOLE else f" (in one run only {share:.0%} of its tokens)"


def _verdict(judged: dict[str, Any] | None) -> str:
    if judged is None:
        return ""
    return f"{judged['goal']}: {_number(judged['figure'])}, {'met' if judged['met'] else 'not met'}"


def _number(value: float) -> str:
    """Three significant digits; an integer from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
