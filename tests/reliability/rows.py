"""The rows of the table in docs/reliability.md: one row per fault injection test, with its number of repetitions.

With `RELIABILITY=full` in the environment, the tests use the full counts and update the page. Otherwise the counts are
small and the page is not changed.
"""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.reliability.bounds import percent, upper_bound

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- reliability: begin -->", "<!-- reliability: end -->"
HEADINGS = ("id", "test", "repetitions", "failures", "95 % bound", "result")
DESCRIPTION = HEADINGS.index("test")
FULL = os.environ.get("RELIABILITY") == "full"


@dataclass(frozen=True)
class Row:
    """One row of the table, for one test. `id` is a key of `faults.FAULTS`; `full` and `quick` count `unit`."""

    id: str
    description: str
    unit: str
    full: int
    quick: int

    def repetitions(self) -> str:
        return f"{self.full:,} {self.unit}"

    def cells(self, failures: str, result: str, *, bound: str = "") -> tuple[str, ...]:
        return self.id, self.description, self.repetitions(), failures, bound, result


ROWS = {
    "slow": Row(
        "E1",
        "heads and bodies sent byte by byte, and silent clients: all refused at their deadline",
        "clients",
        1_000,
        60,
    ),
    "slow tool": Row("E1", "slowhttptest -H, -B and -X, each with 200 connections", "runs", 30, 3),
    "stalled": Row("E2", "clients that stop reading, beside a running stream with a gap of 20 ms", "readers", 500, 60),
    "followers": Row("E2", "clients that follow a turn of large tokens and stop reading", "followers", 500, 32),
    "always due": Row(
        "E2",
        "20 streams that are always due (`gap=0us`), beside a running stream with a gap of 50 ms",
        "tokens",
        1_000,
        100,
    ),
    "sizes": Row(
        "E3", "targets, heads, bodies, chunks, extensions and trailers around their limits", "requests", 300, 60
    ),
    "long histories": Row("E3", "reads of a conversation of 60 MB in SQLite, 12 at a time", "reads", 240, 24),
    "many conversations": Row(
        "E3",
        "more conversations with long titles than `memory://` holds",
        "conversations",
        20_000,
        2_000,
    ),
    "framing": Row("E4", "ambiguously framed requests, each followed by another request", "requests", 1_500, 450),
    "framing behind nginx": Row(
        "E4", "the same through nginx, each followed by another client", "requests", 1_500, 150
    ),
    "framing behind haproxy": Row(
        "E4", "the same through haproxy, each followed by another client", "requests", 1_500, 150
    ),
    "mutations": Row(
        "E5", "mutations of valid requests, parsed by this server and by h11", "mutations", 100_000, 2_000
    ),
    "splits": Row("E6", "a request in two packets, split at each byte", "splits", 2_000, 120),
    "pipelined": Row("E7", "10,000 requests sent during an endless stream", "clients", 20, 2),
    "left anywhere": Row("E8", "FIN or RST at each byte of a request and of a response", "clients", 6_000, 300),
    "descriptors": Row("E9", "300 clients of a process with a limit of 128 descriptors", "runs", 20, 1),
    "protocols": Row("E10", "other protocols, methods and versions on the port", "connections", 1_000, 50),
    "planted": Row("E11", "an exception in a function that a callback of the loop calls", "exceptions", 100, 8),
    "documents": Row(
        "P1",
        "bodies that are too deeply nested, too large or not JSON, on every route that decodes one",
        "requests",
        1_080,
        270,
    ),
    "texts": Row("P2", "random texts, parsed by the SSE parsers of three other projects", "texts", 100_000, 2_000),
    "canaries": Row(
        "P3", "secrets planted and errors of all stores provoked: logs, metrics, errors, `cmdline`", "canaries", 25, 25
    ),
    "strangers": Row(
        "L1", "addresses in `X-Forwarded-For`: forged ones, those of one /64, IPv4 in IPv6", "addresses", 30_000, 300
    ),
    "addresses": Row(
        "L2", "one request from each of many addresses, beside one client over its limit", "addresses", 100_000, 1_000
    ),
    "exact": Row(
        "L3", "one address sends requests without pause: never more than burst + rate x time pass", "seconds", 60, 2
    ),
    "limits": Row(
        "L4", "faults between the rate limiter and Redis, one address sends requests without pause", "faults", 40, 5
    ),
    "origins": Row(
        "B1", "pages of other sites, DNS rebinding and forms, on routes without a key", "requests", 1_000, 100
    ),
    "injections": Row(
        "B2", "responses that contain scripts and markup, in the chat page, CSP off and on", "responses", 400, 20
    ),
    "late": Row("U1", "an upstream that connects, starts, continues or ends too late", "responses", 100, 8),
    "retried": Row("U2", "refusals of an upstream, with and without `Retry-After`", "requests", 200, 20),
    "broken": Row("U3", "streams of an upstream that are truncated at any byte or malformed", "responses", 1_000, 60),
    "upstream left": Row(
        "U4", "clients that disconnect, 20 at once: the upstream's connection is closed", "clients", 1_000, 40
    ),
    "locked": Row("D1", "SQLite is locked by another process for longer than the server waits", "locks", 10, 1),
    "full": Row("D1", "no room for SQLite (`RLIMIT_FSIZE`), then room again", "times", 20, 3),
    "eio": Row("D1", "SQLite's reads, writes and syncs fail with EIO, then work again", "times", 40, 4),
    "sqlite kill": Row("D2", "the server is killed (-9) under load, on SQLite", "kills", 60, 6),
    "redis kill": Row("D2", "the server is killed (-9) under load, on Redis", "kills", 60, 6),
    "power": Row("D2", "loss of power at any write of SQLite: only synced data is on the disk", "losses", 1_000, 60),
    "redis killed": Row("D3", "Redis is killed (-9) under load, `appendfsync always`", "kills", 20, 2),
    "failover": Row("D3", "a replica of Redis becomes the primary, under load", "failovers", 10, 1),
    "demoted": Row("D3", "the connected Redis becomes a replica, under load", "failovers", 10, 1),
    "wire": Row(
        "D3", "faults between the server and Redis, under load with clients that disconnect", "faults", 300, 60
    ),
    "clocks": Row("D3", "two processes whose clocks differ by two hours, on one Redis", "turns", 200, 40),
    "clocks and limits": Row(
        "L3", "one limit of two processes whose clocks differ by two hours", "requests", 2_000, 200
    ),
    "one conversation": Row(
        "D3", "two processes serve one conversation at the same time, on one Redis", "turns", 400, 60
    ),
    "two workers": Row(
        "D3", "two workers of `WORKERS=2` serve one conversation at the same time, on one Redis", "turns", 400, 60
    ),
    "lost": Row("D3", "a turn is followed from another process, and its process is killed (-9)", "kills", 20, 2),
    "followed": Row("D3", "a turn is followed from another process to its end", "turns", 20, 4),
    "stopped": Row("D3", "a turn is stopped from another process", "turns", 20, 4),
    "repeated": Row("D3", "an `Idempotency-Key` is sent to another process while the turn runs", "turns", 20, 4),
    "drain": Row("S1", "SIGTERM under 500 streams, chats on SQLite and simulated ones", "drains", 100, 2),
    "first requests": Row(
        "E2", "longest stall of another stream under the first request of its kind to a new process", "requests", 34, 34
    ),
    "stalls": Row("E2", "longest stall of another stream under every hostile request", "requests", 203, 203),
    "unbuffered": Row(
        "E2",
        "a stream of 50 tokens through nginx, each sent after the client has received the previous one",
        "streams",
        20,
        2,
    ),
    "left": Row("U4", "a client disconnects from a stream through nginx; the upstream request ends", "clients", 50, 5),
    "resumed": Row("D3", "a turn is resumed through nginx, which selects one of two servers", "resumes", 50, 6),
}
"""The rows by the argument of the `row` mark, in the order of the page."""


class Tally:
    """Counts the repetitions of a test and holds its result."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.required = row.full if FULL else row.quick
        self.attempts = 0
        self.result: str | None = None
        """The text of the result cell; None unless the test has passed."""

    def rounds(self) -> Iterator[int]:
        """Yield the number of each required repetition and count it as an attempt."""
        for number in range(self.required):
            self.attempts += 1
            yield number

    def groups(self, size: int) -> Iterator[list[int]]:
        """The rounds in groups of `size`."""
        rounds = self.rounds()
        while group := list(islice(rounds, size)):
            yield group

    def passed(self, result: str, *, count: int | None = None) -> None:
        """Record the result at the end of a test. `count` is the number of repetitions if it did not use `rounds`."""
        done = self.attempts if count is None else count
        assert done >= self.required, f"only {done} of {self.required} {self.row.unit}"
        self.result = result

    def write(self) -> None:
        """Update the row in the page, under a file lock, because other workers may write at the same time."""
        passed = self.result is not None
        failures = f"0 of {self.required}" if passed else f"1 of {self.attempts or 1}, then stopped"
        bound = percent(upper_bound(0, self.required) if passed else upper_bound(1, self.attempts or 1))
        with PAGE.open("r+", encoding="utf-8") as page:
            fcntl.flock(page, fcntl.LOCK_EX)
            text = with_row(page.read(), self.row.cells(failures, self.result or "failed", bound=bound))
            page.seek(0)
            page.truncate()
            page.write(text)


def with_row(text: str, cells: tuple[str, ...]) -> str:
    """`text` with the table in the order of `ROWS` and one row replaced. Raises ValueError if a marker is missing."""
    before, begin, rest = text.partition(BEGIN)
    between, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    known = {line[DESCRIPTION]: tuple(line) for line in rows_of(between)}
    known[cells[DESCRIPTION]] = cells
    lines = [known.get(row.description, row.cells("not run yet", "")) for row in ROWS.values()]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (HEADINGS, ("---",) * len(HEADINGS), *lines))
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def rows_of(table: str) -> list[list[str]]:
    """The cells of each row of a Markdown table, without the header."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
