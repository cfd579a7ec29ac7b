import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tokenfall.bootstrap import Server
from tokenfall.cli import serve as serving
from tokenfall.cli.serve import Stopper
from tokenfall.cli.worker import Worker
from tokenfall.limits.shared import SharedTable
from tokenfall.metrics.shared import SharedMetrics
from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.signals import stop_signals
from tokenfall.settings import Settings

from tests.doubles.descriptors import open_descriptors


class Stopping:
    """A server whose drain ends when the test calls `stopped`."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.stopped: list[Callable[[], None]] = []

    def stop_then(self, stopped: Callable[[], None]) -> None:
        self.stopped.append(stopped)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor_ = Reactor()
    yield reactor_
    reactor_.close()


@pytest.fixture
def server(reactor: Reactor) -> Stopping:
    return Stopping(reactor)


@pytest.fixture
def stopper(server: Stopping, monkeypatch: pytest.MonkeyPatch) -> Stopper:
    return Stopper(server, Settings())  # type: ignore[arg-type]


@pytest.mark.usefixtures("_own_signals")
@pytest.mark.parametrize("number", stop_signals())
def test_first_signal_drains_and_second_signal_exits_at_once(
    number: int, server: Stopping, stopper: Stopper, reactor: Reactor
) -> None:
    stopper.stop_on_signals()
    os.kill(os.getpid(), number)
    reactor.turn()
    assert (len(server.stopped), stopper.status) == (1, 0)
    os.kill(os.getpid(), number)
    reactor.run()

    assert (len(server.stopped), stopper.status) == (1, 130)


def test_run_ends_when_the_drain_ends(server: Stopping, stopper: Stopper, reactor: Reactor) -> None:
    stopper.stop()
    stopper.stop()
    reactor.call_soon(server.stopped[0])
    reactor.run()

    assert (len(server.stopped), stopper.status) == (1, 0)


def test_worker_stops_at_the_end_of_its_lifeline(server: Stopping, stopper: Stopper, reactor: Reactor) -> None:
    lifeline, life = os.pipe()
    before = signal.getsignal(signal.SIGTERM)
    try:
        stopper.stop_with_supervisor(Worker(SharedMetrics(1), SharedTable(8), lifeline=lifeline, ready=-1))
        os.close(life)
        reactor.turn()
        reactor.turn(0.0)
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(lifeline)

    assert len(server.stopped) == 1


def test_failed_construction_leaks_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(serving, "Server", fail)
    before = open_descriptors()
    with pytest.raises(RuntimeError, match="a defect") as failed:
        serving.serve(Settings())

    assert open_descriptors() <= before
    assert failed.traceback, "the traceback's frames are alive, with their local variables"


def test_failed_listen_leaks_no_descriptor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(server: Server) -> None:
        server.http.listen("127.0.0.1", 0)
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(Server, "start", refuse)
    before = open_descriptors()

    assert serving.serve(Settings().replaced(log_level="error")) == serving.FAILURE
    assert "cannot listen" in capsys.readouterr().err
    assert open_descriptors() <= before
