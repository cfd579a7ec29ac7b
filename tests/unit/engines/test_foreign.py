import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tokenfall.engines.foreign import translated
from tokenfall.errors import (
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamFirstTokenTimeout,
    UpstreamMalformed,
    UpstreamReset,
    UpstreamUnreachable,
)

PLACE = ConnectionKey("secret.example", 443, True, True, None, None, None)
ASKED = aiohttp.RequestInfo(URL("http://secret.example"), "POST", CIMultiDictProxy(CIMultiDict()))
LATE = UpstreamFirstTokenTimeout("late")


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (aiohttp.ConnectionTimeoutError("secret.example"), UpstreamConnectTimeout),
        (aiohttp.ClientConnectorError(PLACE, OSError(111, "secret.example refused")), UpstreamUnreachable),
        (aiohttp.ClientResponseError(ASKED, (), message="secret"), UpstreamMalformed),
        (ConnectionResetError("secret.example"), UpstreamUnreachable),
        (aiohttp.ServerDisconnectedError("secret.example"), UpstreamUnreachable),
        (aiohttp.ClientPayloadError("secret.example"), UpstreamUnreachable),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_foreign_exception_is_told_in_our_words(foreign: Exception, kind: type[UpstreamError]) -> None:
    error = translated(foreign, late=LATE)

    assert type(error) is kind
    assert "secret" not in error.message


@pytest.mark.parametrize("foreign", [TimeoutError(), aiohttp.ServerTimeoutError("secret.example")])
def test_time_that_is_over_is_the_phases(foreign: Exception) -> None:
    assert translated(foreign, late=LATE) is LATE


def test_our_own_stay_as_they_are() -> None:
    own = UpstreamReset("broke off")

    assert translated(own, late=LATE) is own
