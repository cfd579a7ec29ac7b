"""Virtual users that request chat turns and record the responses, and the check of the history against the records."""

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

UNLIMITED_HISTORY = {"HISTORY_LIMIT": "1000000"}

RETRY_DELAY_S = 0.01
"""Delay of a virtual user after a turn that failed."""

DISCONNECT_ERRORS = (EOFError, ConnectionError)

Message = dict[str, Any]


@dataclass
class TurnRecord:
    """One requested turn and the response that its client received."""

    question: str
    turn_id: str = ""
    frames: bytes = b""
    outcome: str = "truncated"
    """`done`, an error code, `disconnected` (by the client), or `truncated` (no final frame before the connection
    ended)."""

    @property
    def text(self) -> str:
        """The text of all complete content frames."""
        return response_text(self.frames)


def simulated_text(count: int) -> str:
    """The first `count` tokens of the simulator's text."""
    return " ".join(islice(cycle(WORDS), count))


@dataclass
class VirtualUser:
    """A client that requests the turns of one conversation, one at a time. `name` is the conversation's name."""

    name: str
    tokens: int = 3
    records: list[TurnRecord] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    model: str | None = ""
    """An empty string selects the simulator with `tokens`."""
    tag: str = ""
    """Part of each question; distinguishes users that share a conversation."""

    def expected_text(self, question: str) -> str:
        """The text of the complete response to a question."""
        return simulated_text(self.tokens)

    async def request_turn(self, client: Client, *, leave_after: int | None = None) -> TurnRecord:
        """Request one turn and record it. Disconnects after `leave_after` frames, if given.

        Raises one of `DISCONNECT_ERRORS` if the connection ends first; the turn is recorded nevertheless.
        """
        record = TurnRecord(f"{self.name}{self.tag} {len(self.records)}")
        self.records.append(record)
        model = f"sim:tokens={self.tokens},gap=1ms" if self.model == "" else self.model
        await client.send(chat(record.question, model=model, conversation=self.name, headers=self.headers))
        await read_response(client, record, leave_after=leave_after)
        return record

    async def request_turns(self, port: int, *, count: int | None = None) -> None:
        """Request turns on one connection: `count` turns, or any number until the server closes the connection."""
        try:
            async with await Client.connect(port) as client:
                while count is None or len(self.records) < count:
                    if (await self.request_turn(client)).outcome != "done":
                        await asyncio.sleep(RETRY_DELAY_S)
        except DISCONNECT_ERRORS:
            if count is not None:
                raise

    def count(self, outcome: str) -> int:
        """The number of turns with this outcome."""
        return sum(record.outcome == outcome for record in self.records)


async def read_response(client: Client, record: TurnRecord, *, leave_after: int | None = None) -> None:
    """Read a response to its end, or up to `leave_after` frames, and store it in `record`."""
    head = await client.head()
    record.turn_id = head.headers.get("x-turn-id", "")
    if head.status != 200:
        record.outcome = json.loads(await client.exactly(int(head.headers["content-length"])))["code"]
        return
    frames = 0
    while data := await client.chunk():
        record.frames += data
        frames += data.count(b"\n\n")
        if leave_after is not None and frames >= leave_after:
            record.outcome = "disconnected"
            client.close()
            return
    record.outcome = "done" if record.frames.endswith(DONE) else error_of(record.frames)["code"]


@asynccontextmanager
async def under_load(port: int, users: Iterable[VirtualUser]) -> AsyncIterator[None]:
    """All users request turns during the block. An exception of any user is raised at its end."""
    running = [asyncio.ensure_future(user.request_turns(port)) for user in users]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def random_delay(random: Random, min_s: float, max_s: float) -> None:
    """Sleep for a random time, so that the next fault occurs at a random point of the work in progress."""
    await asyncio.sleep(random.uniform(min_s, max_s))


def kill(server: ServerProcess) -> None:
    """End the server with SIGKILL."""
    server.signal(signal.SIGKILL)
    server.expected_status = server.wait()
    assert server.expected_status == -signal.SIGKILL


# The stored history


async def stored_messages(port: int, name: str, **headers: str) -> list[Message]:
    """The messages of a conversation; empty if the conversation does not exist."""
    answer = await fetch(port, request(f"/history?conversation={name}", **headers))
    assert answer.status in {200, 404}, answer
    messages: list[Message] = json.loads(answer.body) if answer.status == 200 else []
    return messages


def check_history(messages: Sequence[Message], users: Sequence[VirtualUser]) -> int:
    """Compare a stored conversation with the records of its users. Returns the number of interrupted turns.

    Every acknowledged turn must be stored exactly once, completely, and in the order of its user. A turn that was
    requested and not acknowledged may be missing; if it is stored, it is complete, or marked as interrupted with at
    least the text that the client received.
    """
    turns = list(zip(messages[::2], messages[1::2], strict=True))
    for question, answer in turns:
        assert (question["role"], answer["role"]) == ("user", "assistant")
        assert question["turn"] == answer["turn"], "question and response belong to one turn"
    ids = [question["turn"] for question, _ in turns]
    assert len(set(ids)) == len(ids), "no turn is stored twice"
    for user in users:
        acknowledged = [record.turn_id for record in user.records if record.outcome == "done"]
        assert [turn for turn in ids if turn in set(acknowledged)] == acknowledged
    requested = {record.question: (record, user.expected_text) for user in users for record in user.records}
    stored_questions = [question["content"] for question, _ in turns]
    assert len(set(stored_questions)) == len(stored_questions), "no question is stored twice"
    assert set(stored_questions) <= set(requested), "only requested questions are stored"
    for question, answer in turns:
        record, expected_text = requested[question["content"]]
        _check_turn(answer, record, expected_text=expected_text)
    return sum("status" in answer for _, answer in turns)


def _check_turn(answer: Message, record: TurnRecord, *, expected_text: Callable[[str], str]) -> None:
    text = expected_text(record.question)
    assert record.turn_id in {"", answer["turn"]}
    if record.outcome == "done":
        assert record.text == text
        assert "status" not in answer
    if "status" in answer:
        assert answer["status"] == "interrupted"
        assert answer["content"]
        assert text.startswith(answer["content"])
    else:
        assert answer["content"] == text
    assert answer["content"].startswith(record.text), "the received text is stored"


def count_turns(users: Iterable[VirtualUser], outcome: str = "done") -> int:
    return sum(user.count(outcome) for user in users)


def count_requested(users: Iterable[VirtualUser]) -> int:
    return sum(len(user.records) for user in users)
