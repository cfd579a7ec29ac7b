"""A pool under load whose connections the upstream closes at random: stale connections cause no errors. (U2)"""

import asyncio
import json
import ssl
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tokenfall.errors import TokenfallError
from tokenfall.events import ReasoningDelta, TextDelta
from tokenfall.messages import ChatRequest, Message

from tests.doubles.certificates import server_context, trusted_file
from tests.doubles.upstreams import engine_for
from tests.end_to_end.in_process import descriptors, eventually
from tests.end_to_end.upstream import DONE, FINISH, Exchange, delta, scripted

REQUESTS = 500
AT_ONCE = 20
ENDS = ("keep", "after the end", "later", "instead of a response", "within the head", "within the body")
WEIGHTS = (50, 20, 20, 6, 2, 2)


class RandomlyClosing:
    """Closes connections at random; `begun` counts, per request, the responses of which a byte was sent."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.received: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.broken: set[str] = set()
        self.ends: Counter[str] = Counter()
        self._served: set[int] = set()

    async def __call__(self, exchange: Exchange) -> None:
        name = exchange.body["model"]
        self.received[name] += 1
        if exchange.writer.is_closing():
            return  # closed by "later" before this request arrived
        end = self._random.choices(ENDS, WEIGHTS)[0]
        if end == "instead of a response" and id(exchange.writer) not in self._served:
            end = "keep"  # on a new connection this is an error that is not retried
        self._served.add(id(exchange.writer))
        self.ends[end] += 1
        if end == "instead of a response":
            exchange.writer.close()
            return
        self.begun[name] += 1
        if end.startswith("within"):
            self.broken.add(name)
            await self._break(exchange, end)
            return
        await exchange.send_head()
        await exchange.send_chunks(delta("Hel"), delta("lo"), FINISH, DONE)
        await exchange.send_last_chunk()
        if end == "after the end":
            exchange.writer.close()
        elif end == "later":
            asyncio.get_running_loop().call_later(self._random.uniform(0.0, 0.005), exchange.writer.close)

    async def _break(self, exchange: Exchange, end: str) -> None:
        if end == "within the head":
            await exchange.write(b"HTTP/1.1 200 ")
        else:
            await exchange.send_head()
            await exchange.send_chunks(delta("Hel"))
        exchange.writer.close()


@pytest.mark.parametrize("kind", ["plain", "TLS"])
async def test_stale_pooled_connection_fails_no_request_and_repeats_none_with_a_response(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", trusted_file(tmp_path))
    tls: ssl.SSLContext | None = server_context() if kind == "TLS" else None
    before = descriptors()
    outcomes: dict[str, str | TokenfallError] = {}
    async with scripted(tls=tls) as upstream:
        upstream.script = script = RandomlyClosing(1)
        engine = engine_for(upstream.url)
        remaining = [f"m{number}" for number in range(REQUESTS)]

        async def reply(name: str) -> str | TokenfallError:
            texts: list[str] = []

            def on_event(event: TextDelta | ReasoningDelta) -> None:
                texts.append(event.text)

            try:
                await engine.reply(ChatRequest(messages=(Message("user", "Hi"),), model=name, max_tokens=9), on_event)
            except TokenfallError as error:
                return error
            return "".join(texts)

        async def work() -> None:
            while remaining:
                name = remaining.pop()
                outcomes[name] = await reply(name)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
        await engine.close()
        await eventually(
            lambda: upstream.open_connections == 0, lambda: f"{upstream.open_connections} connections are open"
        )
    failed = {name for name, outcome in outcomes.items() if outcome != "Hello"}
    assert len(outcomes) == REQUESTS
    assert failed == script.broken, json.dumps({name: repr(outcomes[name]) for name in failed ^ script.broken})
    assert {name: count for name, count in script.begun.items() if count > 1} == {}
    assert set(script.ends) == set(ENDS), "a kind of end never occurred"
    assert max(script.received.values()) == 2, "a request on a closed connection was not resent exactly once"
    await eventually(lambda: descriptors() <= before, lambda: f"{descriptors() - before} descriptors leaked")
