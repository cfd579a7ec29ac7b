"""The command line: options, the run, progress. The measurements are in rows/."""

import argparse
import compileall
import os
import subprocess
from collections.abc import Callable, Sequence
from fnmatch import filter as filter_names
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.bench import ROOT, Bench, Measurement, tokenfall_command
from benchmarks.measurement import NotMeasured, outcome_of, take_pairs, without_outcome
from benchmarks.results import Result, begin_result, is_complete, path_of, update_rows
from benchmarks.rows import MEASUREMENTS
from benchmarks.tables import PAGE, terminal_table, write_page
from benchmarks.toolchain import make_toolchain

PAIRS = 5


def main(arguments: Sequence[str], our_command: Callable[[int], list[str]] = tokenfall_command) -> int:
    """`our_command` returns Tokenfall's command line for a port; tests of the rows pass another one."""
    options = parse(arguments)
    console = Console()
    for level in (0, 2):  # without optimization, and with that of the container image
        compileall.compile_dir(ROOT / "src", quiet=1, optimize=level)
    bench = Bench(make_toolchain(), quick=options.quick, image=options.image, our_command=our_command)
    os.sched_setaffinity(0, {bench.load_core})  # this program must not disturb the server
    result = measure_all(bench, options, console=console)
    path = path_of(result)
    console.print(terminal_table(result))
    console.print(f"Written: {path.relative_to(ROOT)}")
    if is_complete(result):
        write_page(result, path)
        console.print(f"Written: {PAGE.relative_to(ROOT)}")
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=_row_names, default=row_names(), metavar="A,B", help=_rows_help())
    parser.add_argument("--pairs", type=_positive, metavar="N", help=f"runs of each side ({PAIRS})")
    parser.add_argument("--quick", action="store_true", help="short runs, one pair, to check that everything works")
    parser.add_argument("--image", type=_file, metavar="FILE", help="image archive for the row box (podman save)")
    options = parser.parse_args(arguments)
    options.pairs = options.pairs or (1 if options.quick else PAIRS)
    return options


def measure_all(bench: Bench, options: argparse.Namespace, *, console: Console) -> Result:
    """Measure the selected rows. The result file is written after each measurement."""
    result = begin_result(bench, options.pairs)
    with _progress(console) as progress:
        for measurement in MEASUREMENTS:
            names = [row.name for row in measurement.rows]
            if not set(names) & set(options.rows):
                continue
            task = progress.add_task(", ".join(names), total=options.pairs * len(measurement.sides))
            after_each = partial(progress.advance, task)
            update_rows(result, measure(bench, measurement, pairs=options.pairs, after_each=after_each))
    return result


def measure(
    bench: Bench, measurement: Measurement, *, pairs: int, after_each: Callable[[], None]
) -> list[dict[str, Any]]:
    """The rows of a measurement in the format of a result file; rows that cannot be measured have the reason."""
    sides = {side: partial(take, bench) for side, take in measurement.sides.items()}
    try:
        taken = take_pairs(sides, pairs=pairs, after_each=after_each)
    except NotMeasured as reason:
        why = str(reason)
    except subprocess.TimeoutExpired:
        why = "a load generator did not end in time"
    except OSError as error:
        why = f"a process ended too early, or could not be read: {error.strerror}"
    else:
        return [outcome_of(row, taken) for row in measurement.rows]
    return [without_outcome(row, why) for row in measurement.rows]


def row_names() -> list[str]:
    return [row.name for measurement in MEASUREMENTS for row in measurement.rows]


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    return Progress(*columns, TimeElapsedColumn(), console=console)


def _rows_help() -> str:
    return f"only these rows; patterns such as timing_* are accepted; rows: {','.join(row_names())}"


def _row_names(text: str) -> list[str]:
    patterns = text.split(",")
    unknown = [pattern for pattern in patterns if not filter_names(row_names(), pattern)]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row {', '.join(unknown)}; there are {', '.join(row_names())}")
    return [name for pattern in patterns for name in filter_names(row_names(), pattern)]


def _file(text: str) -> Path:
    path = Path(text).absolute()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"no file {text}")
    return path


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("takes an integer from 1")
    return int(text)
