"""The access log: one line per response, without keys, prompts or query strings.

Called by `tokenfall.api.app` after each response. A line costs about a microsecond: it is formatted without the
`logging` package, from fields that the request already has, and written in batches.
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
    from tokenfall.metrics.registry import Metrics
    from tokenfall.ports import Wheel


FLUSH_AFTER_S = 0.1
FLUSH_AT_LINES = 512


class AccessLog:
    """Buffers lines and passes them to `write` within `FLUSH_AFTER_S`. Call `flush` before exit."""

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

    def log_response(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
        """Log one response. The path is the route's pattern, or the request's own path if no route matched."""
        now_s = time()
        second = int(now_s)
        if second != self._second:
            self._second, self._stamp = second, timestamp(second)[:-4]
        took_ms = (self._wheel.now() - request.started_s) * 1000
        stamp = f"{self._stamp}{int(now_s * 1000) % 1000:03}Z"
        format_line = _json_line if self._as_json else _console_line
        self._lines.append(
            format_line(request, stamp=stamp, status=status, outcome=outcome, sent_bytes=sent_bytes, took_ms=took_ms)
        )
        if len(self._lines) >= FLUSH_AT_LINES:
            self.flush()
        elif self.slot is None:
            self._wheel.schedule(self, self._wheel.now() + FLUSH_AFTER_S)

    def due(self, now_s: float) -> float | None:
        """See `tokenfall.ports.TimerEntry`."""
        self.flush()
        return None

    def flush(self) -> None:
        """Write the buffered lines. On an error they are dropped and counted: a full disk must not stop responses."""
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
