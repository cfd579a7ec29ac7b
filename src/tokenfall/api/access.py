"""The access log: one line an answer, without keys, prompts or query strings.

A line costs about a microsecond, so it is written by hand from what the router already knows, kept for a moment and
flushed with others: a log must not cost a short answer more than its own bytes.
"""

from __future__ import annotations

from time import time

from tokenfall.json_text import quoted
from tokenfall.logs import escaped, timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfall.http.application import Outcome
    from tokenfall.http.request import Request
    from tokenfall.metrics import Metrics
    from tokenfall.ports import Wheel


FLUSH_AFTER_S = 0.1
FLUSH_AT_LINES = 512


class AccessLog:
    """Collects lines and hands them to `write`, at most `FLUSH_AFTER_S` later. `flush` writes what is left."""

    def __init__(self, write: Callable[[str], object], wheel: Wheel, *, metrics: Metrics, as_json: bool) -> None:
        self.slot: int | None = None
        self.deadline_s = 0.0
        self._write = write
        self._wheel = wheel
        self._metrics = metrics
        self._as_json = as_json
        self._lines: list[str] = []
        self._second = 0
        self._stamp = ""

    def answered(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
        """Log one answer. The path is the route's pattern where there is one, the request's own elsewhere."""
        now_s = time()
        second = int(now_s)
        if second != self._second:
            self._second, self._stamp = second, timestamp(second)[:-4]
        took_ms = (self._wheel.now() - request.started_s) * 1000
        stamp = f"{self._stamp}{int(now_s * 1000) % 1000:03}Z"
        form = _json_line if self._as_json else _console_line
        self._lines.append(
            form(request, stamp=stamp, status=status, outcome=outcome, sent_bytes=sent_bytes, took_ms=took_ms)
        )
        if len(self._lines) >= FLUSH_AT_LINES:
            self.flush()
        elif self.slot is None:
            self._wheel.join(self, self._wheel.now() + FLUSH_AFTER_S)

    def due(self, now_s: float) -> float | None:
        """The wheel's call."""
        self.flush()
        return None

    def flush(self) -> None:
        """Write what is kept. Lines that cannot be written are lost, and counted: a full disk must not stop answers."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        try:
            self._write("".join(lines))
        except OSError:
            self._metrics.log_lines_lost += len(lines)


def _json_line(request: Request, *, stamp: str, status: int, outcome: Outcome, sent_bytes: int, took_ms: float) -> str:
    path = f'"{request.route}"' if request.route else quoted(request.path[:200])
    return (
        f'{{"time":"{stamp}","level":"info","logger":"access","message":"{request.method} {status}",'
        f'"method":"{request.method}","path":{path},"status":{status},"outcome":"{outcome}","bytes":{sent_bytes},'
        f'"took_ms":{took_ms:.1f},"client":"{request.client}","request_id":"{request.id}"}}\n'
    )


def _console_line(
    request: Request, *, stamp: str, status: int, outcome: Outcome, sent_bytes: int, took_ms: float
) -> str:
    path = request.route or escaped(request.path[:200])
    ended = "" if outcome == "complete" else f" {outcome}"
    return f"{stamp[11:19]} access  {request.method} {path} {status}{ended} {sent_bytes} B {took_ms:.0f} ms\n"
