"""asyncio event loops on a reactor, for tests that run in the same loop as the code under test."""

import asyncio

from tokenfall.reactor.bridge import ReactorEventLoop
from tokenfall.reactor.loop import Reactor
from tokenfall.reactor.poller import make_poller


class TestLoop(ReactorEventLoop):
    """An event loop that owns its reactor and closes it."""

    __test__ = False

    def __init__(self, poller: str = "auto") -> None:
        super().__init__(Reactor(make_poller(poller)))
        self.reactor.enable_wakeups()

    def close(self) -> None:
        super().close()
        self.reactor.loop = None
        self.reactor.close()


def running_reactor() -> Reactor:
    """Return the reactor of the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ReactorEventLoop)
    return loop.reactor
