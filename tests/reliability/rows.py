"""What this folder proves, how often, and the table of docs/reliability.md that says so.

`RELIABILITY=full` in the environment takes the full counts and writes the page; without it the counts are small and
nothing is written.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- reliability: begin -->", "<!-- reliability: end -->"
HEADINGS = ("what", "how often", "failures", "seen")
FULL = os.environ.get("RELIABILITY") == "full"


@dataclass(frozen=True)
class Row:
    """One line of the table, which one test proves."""

    what: str
    unit: str
    full: int
    quick: int

    def often(self) -> str:
        return f"{self.full} {self.unit}"

    def cells(self, failures: str, seen: str) -> tuple[str, ...]:
        return self.what, self.often(), failures, seen


ROWS = {
    "sqlite kill": Row("the server is killed (-9) under load, on SQLite", "kills", 60, 6),
    "redis kill": Row("the server is killed (-9) under load, on Redis", "kills", 60, 6),
    "redis killed": Row("Redis is killed (-9) under load, `appendfsync always`", "kills", 20, 2),
    "one conversation": Row("two processes answer one conversation at once, on one Redis", "turns", 400, 60),
    "two workers": Row("two workers of `WORKERS=2` answer one conversation at once, on one Redis", "turns", 400, 60),
    "lost": Row("a turn is followed from another process, and its own is killed (-9)", "kills", 20, 2),
    "followed": Row("a turn is followed from another process to its end", "turns", 20, 4),
    "stopped": Row("a turn is stopped from another process", "turns", 20, 4),
    "repeated": Row("an `Idempotency-Key` comes to another process while the turn runs", "turns", 20, 4),
    "drain": Row("SIGTERM under 500 streams, chats on SQLite and simulated ones", "drains", 100, 2),
    "locked": Row("SQLite is locked by another process for longer than the server waits", "locks", 10, 1),
    "full": Row("no room for SQLite (`RLIMIT_FSIZE`), then room again", "times", 20, 3),
    "wire": Row("faults between the server and Redis, under load with clients that leave", "faults", 300, 60),
    "limits": Row("faults between the rate limiter and Redis, one address asks without pause", "faults", 40, 5),
    "canaries": Row(
        "secrets planted and errors of all stores provoked: logs, metrics, errors, `cmdline`", "canaries", 25, 25
    ),
    "first requests": Row(
        "longest stall of another stream under the first request of its kind to a new process", "requests", 29, 29
    ),
    "stalls": Row("longest stall of another stream under every hostile request", "requests", 194, 194),
    "unbuffered": Row("a stream of 50 tokens through nginx, each sent when the last was seen", "streams", 20, 2),
    "left": Row("a client leaves a stream through nginx; the upstream's ends", "clients", 50, 5),
    "resumed": Row("a turn is resumed through nginx, which picks either of two servers", "resumes", 50, 6),
}
"""In the order of the page."""


class Tally:
    """How often a test is to try, and what came of it."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.wanted = row.full if FULL else row.quick
        self.begun = 0
        self.seen: str | None = None
        """A line of figures, once all went well."""

    def rounds(self) -> Iterator[int]:
        for number in range(self.wanted):
            self.begun += 1
            yield number

    def passed(self, seen: str, *, times: int | None = None) -> None:
        """The last word of a test; `times` is what it counted where that was not `rounds`."""
        done = self.begun if times is None else times
        assert done >= self.wanted, f"only {done} of {self.wanted} {self.row.unit}"
        self.seen = seen

    def write(self) -> None:
        """Into the page, which others may be writing to as well."""
        failures = f"0 of {self.wanted}" if self.seen is not None else f"1 of {self.begun or 1}, then it was given up"
        with PAGE.open("r+", encoding="utf-8") as page:
            fcntl.flock(page, fcntl.LOCK_EX)
            text = with_row(page.read(), self.row.cells(failures, self.seen or "a failure"))
            page.seek(0)
            page.truncate()
            page.write(text)


def with_row(text: str, cells: tuple[str, ...]) -> str:
    """`text` with its table in the order of `ROWS` and `cells` in it. Raises ValueError without its markers."""
    before, begin, rest = text.partition(BEGIN)
    between, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    known = {what: (what, *more) for what, *more in rows_of(between)}
    known[cells[0]] = cells
    lines = [known.get(row.what, row.cells("not run yet", "")) for row in ROWS.values()]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (HEADINGS, ("---",) * len(HEADINGS), *lines))
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def rows_of(table: str) -> list[list[str]]:
    """The cells of each line of a table below its heading."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
