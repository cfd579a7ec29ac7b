"""The `load` queue is per caller, identified by API key or address: a full queue delays no other caller."""

from contextlib import AsyncExitStack

import pytest

from tests.doubles.hostile_requests import chat, post, user
from tests.end_to_end.client import Client, request
from tests.end_to_end.in_process import Running, eventually, running

KEYS = {"API_KEY": "one,two"}
PROXIED = {"TRUSTED_PROXIES": "127.0.0.1/32"}

ROUTES = {
    "plain": request("/stream-loop?load=1@1&gap=1ms"),
    "chat completions": chat("load=1@1,ttft=300s,fault=stall@1:300s", stream=True),
    "a whole response": chat("load=1@1,ttft=300s"),
    "a chat": post("/chat", {"messages": user("hi")}, X_Sim="load=1@1,ttft=300s"),
}
"""Requests that each occupy the only slot."""

CALLERS = {
    "keys": (KEYS, b"X-API-Key: one", b"X-API-Key: one", b"X-API-Key: two"),
    "addresses": (
        PROXIED,
        b"X-Forwarded-For: 192.0.2.1",
        b"X-Forwarded-For: ::ffff:192.0.2.1",
        b"X-Forwarded-For: 192.0.2.2",
    ),
    "IPv6 networks": (
        PROXIED,
        b"X-Forwarded-For: 2001:db8::1",
        b"X-Forwarded-For: 2001:db8::2",
        b"X-Forwarded-For: 2001:db8:0:1::1",
    ),
}
"""Settings, two headers that identify the same caller, and the header of another caller."""


def counts(here: Running) -> tuple[int, int]:
    """Return the numbers of running and of waiting simulated responses."""
    limiter = here.server.parts.state.limiter
    return limiter.active, limiter.waiting


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", CALLERS)
async def test_full_queue_of_a_caller_delays_no_other(route: str, kind: str) -> None:
    settings, first, same, other = CALLERS[kind]
    async with running(RATE_LIMIT_RPS="0", **settings) as here:
        async with AsyncExitStack() as clients:

            async def send(header: bytes, expected: tuple[int, int]) -> None:
                client = await clients.enter_async_context(await Client.connect(here.port))
                await client.send(ROUTES[route].replace(b"\r\n", b"\r\n" + header + b"\r\n", 1))
                await eventually(lambda: counts(here) == expected, lambda: counts(here))

            await send(first, (1, 0))
            await send(same, (1, 1))
            await send(other, (2, 1))
        await here.wait_idle()
        assert counts(here) == (0, 0)
