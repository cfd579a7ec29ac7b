"""The pytest fixtures. The only module of this package that imports pytest.

pytest imports it at every start, even if no test uses it, so the other modules are imported by the first test that
needs a server.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tokenfall.testing.hosts import Host
    from tokenfall.testing.server import TokenfallServer

Factory = Callable[..., "TokenfallServer"]

AT_RUN_TIME = frozenset({"sim"})
"""Settings that a running server accepts; any other needs a new server."""

CLOSING_S = 0.1
"""How long the streams of a finished test may take to end before their server is replaced."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "tokenfall(process=False, **settings): settings of this test's tokenfall_server, as for serve()"
    )


class _Shared:
    """The server shared by the tests of a session, one after another. The first test that needs it starts it."""

    def __init__(self) -> None:
        self._host: Host | None = None

    def acquire(self, sim: str) -> "TokenfallServer":
        """The server, reset to its initial state."""
        from tokenfall.testing.server import TokenfallServer  # noqa: PLC0415 - see the module's docstring
        from tokenfall.testing.serving import start  # noqa: PLC0415

        if self._host is None or self._host.exit_reason() is not None:
            self.stop()
            self._host = start({}, process=False)
        server = TokenfallServer(self._host, sim=sim)
        server.reset()
        return server

    def release(self, server: "TokenfallServer") -> None:
        """After a test: release waiting streams, and stop the server if streams still run."""
        from tokenfall.testing.control import ServerGone  # noqa: PLC0415 - see the module's docstring

        try:
            server.reset()
            server.wait_until_idle(within_s=CLOSING_S)
        except (ServerGone, TimeoutError):
            self.stop()

    def stop(self) -> None:
        """Stop the server; the next test starts a new one."""
        if self._host is not None:
            self._host.stop()
            self._host = None


@pytest.fixture(scope="session")
def _tokenfall_shared() -> Iterator[_Shared]:
    shared = _Shared()
    yield shared
    shared.stop()


@pytest.fixture
def tokenfall_server_factory() -> Iterator[Factory]:
    """Starts servers for this test only: `tokenfall_server_factory(api_key="k", process=True)`; stopped after it."""
    from tokenfall.testing.serving import serve  # noqa: PLC0415 - see the module's docstring

    with ExitStack() as running:

        def make(*, process: bool = False, **settings: object) -> "TokenfallServer":
            return running.enter_context(serve(process=process, **settings))

        yield make


@pytest.fixture
def tokenfall_server(request: pytest.FixtureRequest) -> "Iterator[TokenfallServer]":
    """A real server for this test; `@pytest.mark.tokenfall(sim="ttft=10ms")` configures it.

    The tests of a process share one server, which is reset between them, unless the marker has settings that need a new
    server.
    """
    from tokenfall.testing.serving import has_times  # noqa: PLC0415 - see the module's docstring

    settings: dict[str, object] = {}
    for marker in request.node.iter_markers("tokenfall"):  # the nearest comes first
        settings = {**marker.kwargs, **settings}
    sim = str(settings.get("sim", ""))
    if settings.keys() <= AT_RUN_TIME and not has_times(sim):
        shared: _Shared = request.getfixturevalue("_tokenfall_shared")
        server = shared.acquire(sim)
        yield server
        shared.release(server)
    else:
        factory: Factory = request.getfixturevalue("tokenfall_server_factory")
        yield factory(**settings)
