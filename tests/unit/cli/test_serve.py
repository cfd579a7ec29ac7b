import asyncio
import os
import signal
from typing import Any

import pytest

from tokenfall.bootstrap.loops import loop_factory
from tokenfall.cli import serve
from tokenfall.cli.serve import STOP_SIGNALS
from tokenfall.cli.supervisor import Worker
from tokenfall.limits.shared import SharedTable
from tokenfall.metrics_board import MetricsBoard

TABLE = SharedTable(8)


def test_uvloop_is_used_where_it_is_installed() -> None:
    uvloop: Any = pytest.importorskip("uvloop")

    assert loop_factory() is uvloop.Loop


def test_without_uvloop_asyncio_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)

    assert loop_factory() is None


def test_the_signals_that_stop() -> None:
    assert set(STOP_SIGNALS) == {signal.SIGTERM, signal.SIGINT}


async def test_one_signal_stops_and_a_second_ends_at_once() -> None:
    stop = asyncio.Event()
    serve._on_signal(stop)
    assert stop.is_set()
    with pytest.raises(KeyboardInterrupt):
        serve._on_signal(stop)


async def test_a_worker_stops_when_its_lifeline_ends_and_watches_it_no_longer() -> None:
    lifeline, life = os.pipe()
    stop = asyncio.Event()
    serve._obey_supervisor(stop, Worker(MetricsBoard(1), TABLE, lifeline=lifeline, ready=-1))
    assert not stop.is_set()

    os.close(life)
    async with asyncio.timeout(5):
        await stop.wait()
    loop = asyncio.get_running_loop()
    assert not loop.remove_reader(lifeline)
    assert loop.remove_signal_handler(signal.SIGTERM)
    os.close(lifeline)
