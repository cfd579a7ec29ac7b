import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from tokenfall.engines.upstream import _translated
from tokenfall.errors import UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable

PLACE = ConnectionKey("secret.example", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (aiohttp.ConnectionTimeoutError("secret.example"), UpstreamTimeout),
        (TimeoutError(), UpstreamTimeout),
        (aiohttp.ServerTimeoutError("secret.example"), UpstreamTimeout),
        (aiohttp.ClientConnectorError(PLACE, OSError(111, "secret.example refused")), UpstreamUnreachable),
        (ConnectionResetError("secret.example"), UpstreamUnreachable),
        (aiohttp.ServerDisconnectedError("secret.example"), UpstreamUnreachable),
        (aiohttp.ClientPayloadError("secret.example"), UpstreamUnreachable),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_foreign_exception_is_told_in_our_words(foreign: Exception, kind: type[UpstreamError]) -> None:
    error = _translated(foreign)

    assert type(error) is kind
    assert "secret" not in error.message


def test_our_own_stay_as_they_are() -> None:
    own = UpstreamBroken("broke off")

    assert _translated(own) is own


def test_phases_that_were_too_late_are_told_apart() -> None:
    messages = {_translated(error).message for error in (aiohttp.ConnectionTimeoutError(), TimeoutError())}

    assert messages == {
        "the upstream did not accept a connection in time",
        "the upstream did not begin to answer in time",
    }
