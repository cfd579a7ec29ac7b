"""The limiter that several machines share: one bucket a client in Redis, spent by one script, on Redis' own clock.

No process' clock is believed, and no command is ever cancelled or sent twice. A client's whole state is what he owed,
and when: the theoretical arrival time of `bucket.spend` in two parts, for in one double of microseconds since 1970
there is only a quarter of a microsecond left, and a burst of 1/3 s each would lose its last. The state expires a
second after the debt is paid.
"""

import asyncio
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tokenfall.errors import StoreUnavailable
from tokenfall.lua_scripts import lua_script
from tokenfall.rate_limit import LimitDecision

COMMAND_TIMEOUT_S = 0.25
"""For each of: a free connection, its making, and the answer to a command."""

ANSWER_TIMEOUT_S = 0.4
"""For all of it together: so long does nobody wait for a verdict."""

CLOSE_TIMEOUT_S = 1.0
CONNECTIONS = 16
KEY_PREFIX = b"tokenfall:limit:"
CHECK_KEY = b"tokenfall:check"

SERVER_TIME = "(function() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end)()"
"""Now in whole microseconds, in Lua. Wall time: set forward it forgives debts, set back it keeps them as they are."""

_NOW = "local function now_us() return %s end\n"

Answer = tuple[int, int, bytes, bytes]
"""Whether allowed, how many remain, and the microseconds until the next try and until the burst is whole."""


class RedisLimiter:
    """A bucket a client in the Redis of `client`, which this limiter owns from now on.

    `now_lua` is the Lua expression for now in microseconds. `take` and `check` raise `StoreUnavailable`; when nobody
    waits for a verdict any more (its caller was cancelled, or told that there is none), the request may be spent all
    the same.
    """

    def __init__(self, rate: float, burst: int, *, client: Redis, now_lua: str = SERVER_TIME) -> None:
        self.rate = rate
        self.burst = burst
        self._client = client
        self._script = client.register_script(_NOW % now_lua + lua_script(__file__, "take"))
        self._arguments = (repr(1e6 / rate), burst)
        self._under_way: set[asyncio.Future[Any]] = set()

    @classmethod
    def from_url(cls, rate: float, burst: int, *, url: str, now_lua: str = SERVER_TIME) -> Self:
        """A limiter on the Redis at `url`, which connects when it is first asked.

        Raises ValueError for what is no Redis URL.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=COMMAND_TIMEOUT_S,
            socket_timeout=COMMAND_TIMEOUT_S,
            socket_connect_timeout=COMMAND_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # redis-py 8's own clients try ten times more; sent twice, it spends two
        )
        return cls(rate, burst, client=Redis.from_pool(pool), now_lua=now_lua)

    async def take(self, client: str) -> LimitDecision:
        key = KEY_PREFIX + client.encode(errors="surrogatepass")
        allowed, remaining, retry_after_us, reset_us = await self._run(key)
        return LimitDecision(allowed == 1, remaining, float(retry_after_us) / 1e6, float(reset_us) / 1e6)

    async def check(self) -> None:
        """Return when verdicts can be had now.

        It runs the script, on a key of its own: a full or a read-only Redis still answers a PING.
        """
        await self._run(CHECK_KEY)

    async def close(self) -> None:
        """Let what is under way come to its end, and disconnect. Nothing may be called afterwards."""
        if self._under_way:
            _, hanging = await asyncio.wait(self._under_way, timeout=CLOSE_TIMEOUT_S)
            for command in hanging:
                command.cancel()
        await self._client.aclose()

    async def _run(self, key: bytes) -> Answer:
        """The script's answer. In a task of its own, which neither a timeout nor the caller's end cancels: a command
        cut off between question and answer would leave its answer to whoever uses the connection next.
        """
        command = asyncio.ensure_future(self._script(keys=[key], args=self._arguments))
        self._under_way.add(command)
        command.add_done_callback(self._ended)
        await asyncio.wait((command,), timeout=ANSWER_TIMEOUT_S)
        if not command.done():
            raise unavailable()
        try:
            return tuple(command.result())
        except (RedisError, OSError) as error:
            raise unavailable() from error

    def _ended(self, command: asyncio.Future[Any]) -> None:
        self._under_way.discard(command)
        if not command.cancelled():
            command.exception()  # seen, though its caller may have left


def unavailable() -> StoreUnavailable:
    """All that anybody is told: an error of redis-py may name the server's address."""
    return StoreUnavailable("the rate limits cannot be read now")
