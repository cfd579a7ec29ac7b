"""`tokenfall serve`: runs a server until a signal says to stop. It owns the signals and the standard streams."""

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

from tokenfall.bootstrap import Server
from tokenfall.bootstrap.loops import loop_factory
from tokenfall.cli.greeting import say_cannot_listen, say_where
from tokenfall.logs import set_up
from tokenfall.settings import Settings

if TYPE_CHECKING:
    from tokenfall.cli.supervisor import Worker

FAILURE = 1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger("tokenfall")


def serve(settings: Settings, worker: "Worker | None" = None) -> int:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once. The exit status.

    As a `worker` it greets nobody, and drains on SIGTERM, however many come, and when its supervisor is gone.
    """
    as_json = set_up(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_serve(settings, worker, json_logs=as_json))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


async def _serve(settings: Settings, worker: "Worker | None", *, json_logs: bool) -> int:
    access = sys.stderr.write if _log.isEnabledFor(logging.INFO) else None
    if worker is None:
        server = Server(settings, access, json_logs=json_logs)
    else:
        server = Server(settings, access, json_logs=json_logs, table=worker.table, board=worker.board)
    try:
        addresses = await server.start()
    except OSError as error:
        say_cannot_listen(settings.host, settings.port, error=error)
        return FAILURE
    stop = asyncio.Event()
    if worker is None:
        _obey_signals(stop)
        say_where(addresses[0], keyed=bool(settings.api_key))
    else:
        _obey_supervisor(stop, worker)
        worker.is_ready()
    await stop.wait()
    _log.info("draining for up to %g s", settings.drain_timeout)
    await server.stop()
    _log.info("stopped")
    return 0


def _obey_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, _on_signal, stop)


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        raise KeyboardInterrupt
    stop.set()


def _obey_supervisor(stop: asyncio.Event, worker: "Worker") -> None:
    """Stop on SIGTERM and at the end of the lifeline, which comes when the supervisor is gone.

    A second SIGTERM changes nothing: who signals the whole group, as systemd does, and the supervisor, which passes
    the signal on, mean the same stop. To end at once is the supervisor's to decide.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def end() -> None:
        loop.remove_reader(worker.lifeline)  # an end stays readable
        stop.set()

    loop.add_reader(worker.lifeline, end)
