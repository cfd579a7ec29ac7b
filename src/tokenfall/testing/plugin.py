"""pytest's fixtures. The only module here that imports pytest.

Loaded at every start of pytest, also where nobody uses it: all else is imported by the first test that wants a server.
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
"""Settings that a running server can be given; any other needs a server that starts with it."""

CLOSING_S = 0.1
"""How long streams of a test that has ended may take to end too, before their server is given up."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "tokenfall(process=False, **settings): settings of this test's tokenfall_server, as for serve()"
    )


class _Shared:
    """The server that the tests of a session use one after the other. It is started by the first that wants it."""

    def __init__(self) -> None:
        self._host: Host | None = None

    def clean(self, sim: str) -> "TokenfallServer":
        """A server that shows nothing of an earlier test."""
        from tokenfall.testing.server import TokenfallServer  # noqa: PLC0415 - see above
        from tokenfall.testing.serving import start  # noqa: PLC0415

        if self._host is None or self._host.exit_reason() is not None:
            self.stop()
            self._host = start({}, process=False)
        server = TokenfallServer(self._host, sim=sim)
        server.reset()
        return server

    def sweep(self, server: "TokenfallServer") -> None:
        """After a test: free who waits, and give the server up where streams go on."""
        from tokenfall.testing.control import ServerGone  # noqa: PLC0415 - see above

        try:
            server.reset()
            server.wait_until_idle(within_s=CLOSING_S)
        except (ServerGone, TimeoutError):
            self.stop()

    def stop(self) -> None:
        """Now; the next test gets another."""
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
    """Starts servers of this test's own: `tokenfall_server_factory(api_key="k", process=True)`; stopped after it."""
    from tokenfall.testing.serving import serve  # noqa: PLC0415 - see above

    with ExitStack() as running:

        def make(*, process: bool = False, **settings: object) -> "TokenfallServer":
            return running.enter_context(serve(process=process, **settings))

        yield make


@pytest.fixture
def tokenfall_server(request: pytest.FixtureRequest) -> "Iterator[TokenfallServer]":
    """A real server, as if it were this test's own; `@pytest.mark.tokenfall(sim="ttft=10ms")` sets it.

    The process's tests share one in truth, reset between them, unless the marker has what only a new one can take.
    """
    from tokenfall.testing.serving import has_times  # noqa: PLC0415 - see above

    settings: dict[str, object] = {}
    for marker in request.node.iter_markers("tokenfall"):  # the nearest comes first
        settings = {**marker.kwargs, **settings}
    sim = str(settings.get("sim", ""))
    if settings.keys() <= AT_RUN_TIME and not has_times(sim):
        shared: _Shared = request.getfixturevalue("_tokenfall_shared")
        server = shared.clean(sim)
        yield server
        shared.sweep(server)
    else:
        factory: Factory = request.getfixturevalue("tokenfall_server_factory")
        yield factory(**settings)
