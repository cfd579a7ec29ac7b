"""A Redis connection pool and calls through it, bounded in time and never cut off. Knows nothing of what is kept there.

redis-py (8.1 read for this) breaks off what its caller cancels by closing the connection; a call here runs in a task
of its own that nobody cancels, so that this is never put to the test, and no reply can reach another caller.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import quote

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from tokenfall import logs
from tokenfall.errors import StoreUnavailable

CONNECT_S = 2.0
"""To connect, and to wait for a connection of the pool: a burst of callers opens all of them at once."""

COMMAND_S = 2.0
"""For one reply."""

CALL_S = 2.5
"""When a caller gives up, whatever his call still waits for: a connection, a handshake and a reply add up."""

CLOSE_S = 5.0
"""How long closing waits for calls under way."""

MAX_CONNECTIONS = 64

RETRIED = (RedisConnectionError, ReadOnlyError)

Reply = TypeVar("Reply")

_log = logs.get(__name__)


def connect(url: str, *, max_connections: int = MAX_CONNECTIONS) -> "Redis":
    """A client for `redis://`, `rediss://` or `unix://`; it connects when it is used. Raises `ValueError`, whose text
    holds nothing of the URL: there may be a password in it.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=CONNECT_S,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=COMMAND_S,
            socket_keepalive=True,
            # RESP2 brings no messages that nobody asked for. So a pooled connection that has something to read is
            # broken or holds a late reply, and redis-py replaces it; under RESP3 it lets that pass.
            protocol=2,
            # Once more on a new connection, at once, when the old one was broken (a Redis that was restarted) or leads
            # to what has become a replica: every call may be repeated. Not after a timeout: it would only take twice
            # as long. redis-py 5 wants to be told twice.
            retry=Retry(NoBackoff(), 1, RETRIED),
            retry_on_error=list(RETRIED),
        )
    except ValueError:
        raise ValueError("the Redis URL is not one: redis://[user:password@]host[:port][/database]") from None
    return Redis(connection_pool=pool)


def uncounted() -> None:
    """A failure that nobody counts."""


class Calls:
    """All calls of one store. `close` waits for those under way and closes the client's pool.

    `failed` is called for each that fails, so that somebody can count them.
    """

    def __init__(self, client: "Redis", *, failed: Callable[[], None] = uncounted) -> None:
        self._client = client
        self._failed = failed
        self._under_way: set[asyncio.Future[Any]] = set()

    async def done(self, call: Awaitable[Reply], *, within_s: float = CALL_S) -> Reply:
        """What `call` returns. Raises `StoreUnavailable`; a caller who leaves or gives up leaves the call running."""
        task = asyncio.ensure_future(call)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait((task,), timeout=within_s)  # cancels nothing
        if not task.done():
            self._failed()
            _log.warning("Redis did not answer in %.1f s", within_s)
            raise unavailable()
        try:
            return task.result()
        except (RedisError, OSError) as error:
            self._failed()
            _log.warning("Redis failed: %s: %s", type(error).__name__, _text(error))
            raise unavailable() from None

    async def close(self) -> None:
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=CLOSE_S)
        try:
            await self._client.aclose(close_connection_pool=True)
        except (RedisError, OSError) as error:
            _log.warning("Redis failed on closing: %s", type(error).__name__)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # read, or asyncio complains of one that nobody waited for


def tag(owner: str) -> str:
    """How keys of `owner` begin: in braces, so that a cluster keeps them in one slot, and quoted as in a URL.

    An @ is quoted in any owner's name, so no name is `{@anonymous}`, who is everybody where no key is asked for.
    """
    return f"tokenfall:{{{quote(owner, safe='') or '@anonymous'}}}"


def unavailable() -> StoreUnavailable:
    """What callers are told, whatever went wrong."""
    return StoreUnavailable("a store of the server cannot be read or written now", retry_after_s=1.0)


def _text(error: Exception) -> str:
    # "unknown command 'EVALSHA', with args beginning with: …" would put a conversation into the log.
    text = str(error)
    return text.partition(", with args")[0] if isinstance(error, ResponseError) else text
