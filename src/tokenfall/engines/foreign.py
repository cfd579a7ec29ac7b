"""aiohttp's exceptions in our words: which phase failed, and no text of theirs."""

import aiohttp

from tokenfall.errors import (
    TokenfallError,
    UpstreamConnectTimeout,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)


def translated(error: Exception, *, late: UpstreamTimeout) -> TokenfallError:
    """What stopped a request before the body of its answer; `late` is said for a deadline of the whole phase."""
    if isinstance(error, TokenfallError):
        return error
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamConnectTimeout("the upstream did not accept a connection in time")
    if isinstance(error, TimeoutError):
        return late
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamUnreachable("the upstream cannot be reached")
    if isinstance(error, aiohttp.ClientResponseError):
        return UpstreamMalformed("the upstream's answer is not HTTP")
    return UpstreamUnreachable("the connection to the upstream broke before an answer came")
