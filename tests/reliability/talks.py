"""Clients that request turn after turn and record what they received, and what the history must then be."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from random import Random
from typing import Any

from tokenfall.simulator.paragraph import WORDS

from tests.end_to_end.chatting import DONE, chat, error_of, response_text
from tests.end_to_end.client import Client, fetch, request
from tests.end_to_end.process import ServerProcess

ENDLESS_HISTORY = {"HISTORY_LIMIT": "1000000"}

PAUSE_S = 0.01
"""Between two attempts of a refused client."""

PARTING = (EOFError, ConnectionError)

Message = dict[str, Any]


@dataclass
class Told:
    """One question and what its client received."""

    question: str
    turn: str = ""
    frames: bytes = b""
    end: str = "cut"
    """`done`, an error's code, `left` by the client, or `cut` if the connection ended without a last frame."""

    @property
    def text(self) -> str:
        """The content frames that came whole."""
        return response_text(self.frames)


def prose(count: int) -> str:
    """The simulator's text of `count` tokens."""
    return " ".join(islice(cycle(WORDS), count))


@dataclass
class Talk:
    """A conversation and its client, which requests one turn at a time."""

    name: str
    tokens: int = 3
    told: list[Told] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    model: str | None = ""
    """Empty for the simulator with `tokens`."""
    tag: str = ""
    """Tells the questions of several clients of one conversation apart."""

    def whole(self, question: str) -> str:
        """The complete response to a question."""
        return prose(self.tokens)

    async def ask(self, client: Client, *, leave_after: int | None = None) -> Told:
        """One turn; `leave_after` so many frames the client goes. Raises what `PARTING` holds, with the turn noted."""
        exchange = Told(f"{self.name}{self.tag} {len(self.told)}")
        self.told.append(exchange)
        model = f"sim:tokens={self.tokens},gap=1ms" if self.model == "" else self.model
        await client.send(chat(exchange.question, model=model, conversation=self.name, headers=self.headers))
        await on_event(client, exchange, leave_after=leave_after)
        return exchange

    async def keep_asking(self, port: int, *, most: int | None = None) -> None:
        """Turn after turn on one connection, until `most` were complete or the server is gone."""
        try:
            async with await Client.connect(port) as client:
                while most is None or len(self.told) < most:
                    if (await self.ask(client)).end != "done":
                        await asyncio.sleep(PAUSE_S)
        except PARTING:
            if most is not None:
                raise

    def count(self, end: str) -> int:
        return sum(exchange.end == end for exchange in self.told)


async def on_event(client: Client, exchange: Told, *, leave_after: int | None = None) -> None:
    """Read a response into `told`, to its end."""
    head = await client.head()
    exchange.turn = head.headers.get("x-turn-id", "")
    if head.status != 200:
        exchange.end = json.loads(await client.exactly(int(head.headers["content-length"])))["code"]
        return
    frames = 0
    while data := await client.chunk():
        exchange.frames += data
        frames += data.count(b"\n\n")
        if leave_after is not None and frames >= leave_after:
            exchange.end = "left"
            client.close()
            return
    exchange.end = "done" if exchange.frames.endswith(DONE) else error_of(exchange.frames)["code"]


@asynccontextmanager
async def under_load(port: int, talks: Iterable[Talk]) -> AsyncIterator[None]:
    """While it lasts, every talk continues; an exception of any of them fails the test."""
    running = [asyncio.ensure_future(talk.keep_asking(port)) for talk in talks]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def moment(random: Random, least_s: float, most_s: float) -> None:
    """A random while: what is tested is that it may be any."""
    await asyncio.sleep(random.uniform(least_s, most_s))


def kill(server: ServerProcess) -> None:
    """As a crash would end it."""
    server.signal(signal.SIGKILL)
    server.expected_status = server.wait()
    assert server.expected_status == -signal.SIGKILL


# What is stored


async def kept(port: int, name: str, **headers: str) -> list[Message]:
    """A conversation, empty for one that never began."""
    answer = await fetch(port, request(f"/history?conversation={name}", **headers))
    assert answer.status in {200, 404}, answer
    messages: list[Message] = json.loads(answer.body) if answer.status == 200 else []
    return messages


def check(messages: Sequence[Message], talks: Sequence[Talk]) -> int:
    """Fail unless `messages` are what the clients of one conversation received. The number of interrupted turns.

    Every acknowledged turn is there exactly once, in each client's order, and complete. All other turns were
    requested and not acknowledged: complete, or interrupted after at least what the client received.
    """
    turns = list(zip(messages[::2], messages[1::2], strict=True))
    for question, answer in turns:
        assert (question["role"], answer["role"]) == ("user", "assistant")
        assert question["turn"] == answer["turn"], "question and answer together"
    ids = [question["turn"] for question, _ in turns]
    assert len(set(ids)) == len(ids), "no turn twice"
    for talk in talks:
        acknowledged = [exchange.turn for exchange in talk.told if exchange.end == "done"]
        assert [turn for turn in ids if turn in set(acknowledged)] == acknowledged
    requested = {exchange.question: (exchange, talk.whole) for talk in talks for exchange in talk.told}
    asked_for = [question["content"] for question, _ in turns]
    assert len(set(asked_for)) == len(asked_for), "nothing was asked twice"
    assert set(asked_for) <= set(requested), "and nothing by anybody else"
    for question, answer in turns:
        exchange, whole = requested[question["content"]]
        _check_turn(answer, exchange, whole=whole)
    return sum("status" in answer for _, answer in turns)


def _check_turn(answer: Message, exchange: Told, *, whole: Callable[[str], str]) -> None:
    text = whole(exchange.question)
    assert exchange.turn in {"", answer["turn"]}
    if exchange.end == "done":
        assert exchange.text == text
        assert "status" not in answer
    if "status" in answer:
        assert answer["status"] == "interrupted"
        assert answer["content"]
        assert text.startswith(answer["content"])
    else:
        assert answer["content"] == text
    assert answer["content"].startswith(exchange.text), "what was heard is kept"


def counted(talks: Iterable[Talk], end: str = "done") -> int:
    return sum(talk.count(end) for talk in talks)


def request_of(talks: Iterable[Talk]) -> int:
    """How many questions were begun."""
    return sum(len(talk.told) for talk in talks)
