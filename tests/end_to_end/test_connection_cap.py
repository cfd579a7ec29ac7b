"""More connections than MAX_CONNECTIONS or the descriptor limit allow. (E9)"""

import asyncio
import time

from tests.end_to_end.client import Client, fetch, metric_becomes, request, status_or_zero
from tests.end_to_end.conftest import Serve


async def is_served(port: int) -> bool:
    """Return whether a new connection is served; one over the cap gets 503 or is closed."""
    try:
        response = await fetch(port, request("/health"))
    except (ConnectionError, EOFError):
        return False
    if response.status == 503:
        assert response.headers["connection"] == "close"
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["content-type"] == "application/problem+json"
        return False
    return response.status == 200


async def test_connection_over_the_limit_is_503_until_one_closes(serve: Serve) -> None:
    server = serve(MAX_CONNECTIONS="5")
    clients = [await Client.connect(server.port) for _ in range(5)]
    for client in clients:
        await client.send(request("/stream-loop?gap=50ms"))
        assert (await client.head()).status == 200
    async with await Client.connect(server.port) as silent:
        refusal = await silent.read_response()  # no request is sent, so that no RST discards the response
        assert refusal.status == 503
        assert await silent.wait_closed() == "closed"
    for _ in range(20):
        assert not await is_served(server.port)
    for client in clients:
        await client.chunk()
    clients[0].reset()
    async with asyncio.timeout(2):
        while not await is_served(server.port):
            pass
    for client in clients[1:]:
        await client.chunk()
        client.close()
    await metric_becomes(server.port, "tokenfall_streams_in_flight", 0)


async def test_more_clients_than_descriptors_are_served_or_refused(serve: Serve) -> None:
    server = serve(descriptors=128)
    begun = time.monotonic()
    clients = await asyncio.gather(*(Client.connect(server.port) for _ in range(300)))
    data = request("/stream-loop?gap=20ms")
    statuses = await asyncio.gather(*(status_or_zero(client, data) for client in clients))
    assert set(statuses) <= {200, 503, 0}
    assert 32 <= statuses.count(200) <= 128
    for client, status in zip(clients, statuses, strict=True):
        if status == 200:
            assert await client.chunk()
    for client in clients:
        client.close()
    async with asyncio.timeout(2):
        while not await is_served(server.port):
            pass
    warnings = [line for line in server.log().splitlines() if '"level":"warning"' in line]
    assert len(warnings) <= 2 + time.monotonic() - begun
