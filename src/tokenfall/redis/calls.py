"""A Redis connection pool and calls with a time limit that are never cancelled. Must not depend on the stored data.

If a caller is cancelled, redis-py (8.1 was examined) closes the connection. Here each call runs in its own task, which
is never cancelled, so a reply cannot reach the wrong caller even if that fails.
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

COMMAND_S = 2.0
"""Timeout of each step: to get a connection from the pool, to connect, and to receive a reply. A burst of callers opens
all connections at once."""

CALL_S = 2.5
"""Total timeout of a caller, because the times for a connection, a handshake and a reply add up."""

CLOSE_S = 5.0
"""How long closing waits for calls in progress."""

MAX_CONNECTIONS = 64

RETRIED = (RedisConnectionError, ReadOnlyError)

Reply = TypeVar("Reply")

_log = logs.get(__name__)


def connect(
    url: str, *, max_connections: int = MAX_CONNECTIONS, step_s: float = COMMAND_S, retries: int = 1
) -> "Redis":
    """A client for `redis://`, `rediss://` or `unix://`; it connects at the first use. Raises `ValueError`, whose
    message omits the URL, which may contain a password.

    `retries` must be 0 if the calls are not idempotent. There is no retry after a timeout, which would only double it.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=step_s,
            socket_connect_timeout=step_s,
            socket_timeout=step_s,
            **({} if url.startswith("unix:") else {"socket_keepalive": True}),
            # RESP2 has no push messages. So a pooled connection with readable data is broken or has a late reply, and
            # redis-py replaces it; under RESP3 it does not.
            protocol=2,
            # Retry at once, on a new connection, if the old one was broken (Redis was restarted) or Redis has become a
            # replica. redis-py 5 needs both parameters.
            retry=Retry(NoBackoff(), retries, RETRIED),
            retry_on_error=list(RETRIED),
        )
    except ValueError:
        raise ValueError("invalid Redis URL; expected redis://[user:password@]host[:port][/database]") from None
    return Redis(connection_pool=pool)


def no_count() -> None:
    """The default of `failed`: failures are not counted."""


class Calls:
    """The calls of one store. `close` waits for calls in progress and closes the client's pool.

    `failed` is called for each failed call, for metrics. Failures are logged unless `is_logged` is False.
    """

    def __init__(self, client: "Redis", *, failed: Callable[[], None] = no_count, is_logged: bool = True) -> None:
        self._client = client
        self._failed = failed
        self._is_logged = is_logged
        self._pending: set[asyncio.Future[Any]] = set()

    async def run(self, call: Awaitable[Reply], *, within_s: float = CALL_S) -> Reply:
        """The result of `call`. Raises `StoreUnavailable`. `call` continues if the caller is cancelled or times out."""
        task = asyncio.ensure_future(call)
        self._pending.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait((task,), timeout=within_s)  # cancels nothing
        if not task.done():
            raise self.timed_out(within_s)
        try:
            return task.result()
        except (RedisError, OSError) as error:
            self._report("Redis failed: %s: %s", type(error).__name__, _text(error))
            raise unavailable() from None

    async def close(self) -> None:
        if self._pending:
            await asyncio.wait(set(self._pending), timeout=CLOSE_S)
        try:
            await self._client.aclose(close_connection_pool=True)
        except (RedisError, OSError) as error:
            _log.warning("Redis failed on closing: %s", type(error).__name__)

    def timed_out(self, within_s: float) -> StoreUnavailable:
        """Report a call that did not end in time, and return the error for its caller."""
        self._report("Redis did not respond within %.1f s", within_s)
        return unavailable()

    def _report(self, message: str, *args: object) -> None:
        self._failed()
        if self._is_logged:
            _log.warning(message, *args)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._pending.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it if no caller waits


def tag(owner: str) -> str:
    """The prefix of the Redis keys of `owner`: in braces, so that a cluster stores them in one slot, and URL-quoted.

    `{@anonymous}` stands for all callers of a server without API keys; it cannot clash, because @ is always quoted.
    """
    return f"tokenfall:{{{quote(owner, safe='') or '@anonymous'}}}"


def unavailable() -> StoreUnavailable:
    """The error for callers, regardless of the cause."""
    return StoreUnavailable("a store of the server cannot be read or written now", retry_after_s=1.0)


def _text(error: Exception) -> str:
    # "unknown command 'EVALSHA', with args beginning with: …" would write a conversation into the log.
    text = str(error)
    return text.partition(", with args")[0] if isinstance(error, ResponseError) else text
