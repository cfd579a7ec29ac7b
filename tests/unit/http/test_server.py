import pytest

from tokenfall.http import server as server_module
from tokenfall.http.request import Request
from tokenfall.http.response import Response
from tokenfall.http.server import SPARE_DESCRIPTORS, HTTPServer, http_date, raise_descriptor_limit

from tests.doubles.connections import FakeApplication, FakeClient
from tests.doubles.descriptors import open_descriptors
from tests.unit.http.conftest import BOUNDS, Connect, Drain


@pytest.mark.parametrize(
    ("unix_s", "text"),
    [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (1_709_251_199.9, "Thu, 29 Feb 2024 23:59:59 GMT"),
    ],
)
def test_http_date_is_an_imf_fixdate(unix_s: float, text: str) -> None:
    assert http_date(unix_s) == text


def test_date_line_is_encoded_once_per_second(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([784_111_777.1, 784_111_777.9, 784_111_778.0])
    monkeypatch.setattr(server_module, "time", lambda: next(seconds))
    first, same, later = server.date_line(), server.date_line(), server.date_line()

    assert first == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert same is first
    assert later == b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_connection_limit_stays_below_the_descriptor_limit(server: HTTPServer) -> None:
    assert server.max_connections == min(BOUNDS.max_connections, raise_descriptor_limit() - SPARE_DESCRIPTORS)


async def test_connections_are_counted(connect: Connect, server: HTTPServer) -> None:
    clients: list[FakeClient] = [connect() for _ in range(3)]
    assert server.metrics.connections == 3
    clients[0].reset()

    assert server.metrics.connections == 2


async def test_drain_without_connections_ends_at_once(server: HTTPServer, drain: Drain) -> None:
    assert (await drain(3_600.0)).is_set()

    assert server.draining


async def test_listener_is_closed_if_the_poller_refuses_it(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, handler: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(server.reactor, "add", refuse)
    before = open_descriptors()
    with pytest.raises(OSError, match="No space"):
        server.listen("127.0.0.1", 0)
    server.close()

    assert open_descriptors() <= before


async def test_failing_refusal_at_the_connection_limit_resets_the_connection(
    server: HTTPServer, connect: Connect, application: FakeApplication, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: Request, status: int, *, detail: str) -> Response:
        raise RuntimeError("a defect")

    server.max_connections = 0
    application.refuse = fail  # type: ignore[method-assign]
    client = connect()

    assert client.was_reset()
    assert [record.getMessage() for record in caplog.records][-1] == "the application failed to refuse a connection"
