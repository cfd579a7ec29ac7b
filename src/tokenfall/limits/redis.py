"""Rate limiter shared by several machines: one bucket per client in Redis, updated by one script with Redis' clock.

The clocks of the processes are not used, and no command is cancelled or sent twice. The state of a client is a time and
the tokens used at that time (in microseconds until the bucket is full): the TAT of `bucket.spend` in two parts, because
one double of microseconds since 1970 has a resolution of only a quarter of a microsecond, which would refuse the last
request of a burst at 3 requests per second. The state expires a second after the bucket is full again.
"""

from tokenfall.rate_limit import LimitDecision
from tokenfall.redis.calls import Calls, connect
from tokenfall.redis.lua import lua_script

COMMAND_TIMEOUT_S = 0.25
"""Timeout of each step: get a free connection, connect, and read the reply to a command."""

TOTAL_TIMEOUT_S = 0.4
"""Timeout of all steps together. After that, the request is decided without Redis."""

CONNECTIONS = 16
KEY_PREFIX = b"tokenfall:limit:"
CHECK_KEY = b"tokenfall:check"

SERVER_TIME = "(function() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end)()"
"""Lua expression for now in whole microseconds. Wall clock: setting it forward refills buckets early; setting it back
leaves them as they are."""

_NOW = "local function now_us() return %s end\n"

Reply = tuple[int, int, bytes, bytes]
"""Allowed (0 or 1), remaining requests, and microseconds until the next retry and until the bucket is full."""


class RedisLimiter:
    """One bucket per client, in the Redis at `url`; connects at first use. Raises ValueError for an invalid URL.

    `now_lua` is the Lua expression for now in microseconds. `take` and `check` raise `StoreUnavailable`. After
    cancellation or a timeout the request may still be counted.
    """

    def __init__(self, rate: float, burst: int, *, url: str, now_lua: str = SERVER_TIME) -> None:
        self.rate = rate
        self.burst = burst
        # no retries, because a repeated command may count twice
        client = connect(url, max_connections=CONNECTIONS, step_s=COMMAND_TIMEOUT_S, retries=0)
        self._calls = Calls(client, is_logged=False)  # the caller logs the first failure, and retries every second
        self._script = client.register_script(_NOW % now_lua + lua_script(__file__, "take"))
        self._arguments = (repr(1e6 / rate), burst)

    async def take(self, client: str) -> LimitDecision:
        key = KEY_PREFIX + client.encode(errors="surrogatepass")
        allowed, remaining, retry_after_us, reset_us = await self._run(key)
        return LimitDecision(allowed == 1, remaining, float(retry_after_us) / 1e6, float(reset_us) / 1e6)

    async def check(self) -> None:
        """Return if `take` works now. Runs the script on a separate key: PING succeeds on a full or read-only Redis."""
        await self._run(CHECK_KEY)

    async def close(self) -> None:
        """Wait for commands in progress, then disconnect. No method may be called afterwards."""
        await self._calls.close()

    async def _run(self, key: bytes) -> Reply:
        call = self._script(keys=[key], args=self._arguments)
        return tuple(await self._calls.run(call, within_s=TOTAL_TIMEOUT_S))
