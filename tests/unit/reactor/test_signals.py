import signal
from collections.abc import Iterator

import pytest

from tokenfall.reactor.signals import stop_signals


@pytest.fixture
def _hang_up_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_hang_up_as_before")
def test_sighup_stops_the_server_unless_ignored_at_the_start() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert set(stop_signals()) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    assert set(stop_signals()) == {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
