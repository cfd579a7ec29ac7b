"""Recorded exchanges: what `tokenfall record` writes, one line of JSON each, and what a replay asks of them.

A recording is read whole. It holds no clock and no socket: who replays an exchange waits out its gaps.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, Self

import msgspec
from msgspec import Raw, Struct

from tokenfall.recording.signatures import bare_path, signatures

FILE_ENDING = ".jsonl"

Break = Literal["client", "upstream", "relay", "size"]
"""Who ended an exchange early: the client left, the upstream broke off, the relay stopped, or it grew too large."""


NO_BODY = Raw(b"null")


class InvalidRecording(ValueError):
    """A file that is no recording; the message is one line that names the file, the line and what is wrong."""


class Chunk(Struct, frozen=True, array_like=True):
    """What one read of an answer brought, `at_s` seconds after the request: text, or base64 where it is none."""

    at_s: float
    data: str
    coding: Literal["", "base64"] = ""

    def payload(self) -> bytes:
        """The bytes. Raises ValueError on bad base64."""
        return b64decode(self.data, validate=True) if self.coding else self.data.encode()


def chunk(at_s: float, payload: bytes) -> Chunk:
    """`payload` as it is written down; a read may end inside a character."""
    try:
        return Chunk(round(at_s, 6), payload.decode())
    except UnicodeDecodeError:
        return Chunk(round(at_s, 6), b64encode(payload).decode(), "base64")


class Request(Struct, frozen=True, kw_only=True):
    """What was asked, without secrets. `body` is `null` where it was no JSON."""

    method: str
    path: str
    headers: dict[str, str]
    body: Raw = NO_BODY


class Answer(Struct, frozen=True, kw_only=True):
    """What came back. An answer that is no stream has one chunk, at its end."""

    status: int
    headers: dict[str, str]
    streamed: bool
    chunks: tuple[Chunk, ...]

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"the status {self.status} is none of an answer")
        times = [0.0, *(each.at_s for each in self.chunks)]
        if any(earlier > later for earlier, later in pairwise(times)):
            raise ValueError("the times of chunks must not fall, nor be negative")
        for each in self.chunks:
            each.payload()


class Exchange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request and its answer; None where none came. `time` is when it was asked, in UTC."""

    v: Literal[1] = 1
    time: str
    request: Request
    answer: Answer | None = None
    interrupted: Break | None = None

    def line(self) -> bytes:
        """As it stands in a file."""
        return msgspec.json.encode(self) + b"\n"

    @property
    def status(self) -> int:
        """The answer's HTTP status. Only for an exchange that was found to be replayed, as all below."""
        return self._replayed().status

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers that matter, by lower-case names."""
        return self._replayed().headers

    @property
    def streamed(self) -> bool:
        """Whether to replay `frames`; else `body` after `took_s`."""
        return self._replayed().streamed

    @property
    def broken(self) -> bool:
        """Whether the upstream broke off: a replay ends without the end of the body."""
        return self.interrupted == "upstream"

    @property
    def body(self) -> bytes:
        """The whole answer."""
        return b"".join(each.payload() for each in self._replayed().chunks)

    def took_s(self, speed: float = 1.0) -> float:
        """Seconds from the request to the last byte, `speed` times faster than it was."""
        chunks = self._replayed().chunks
        return chunks[-1].at_s / speed if chunks else 0.0

    def frames(self, speed: float = 1.0) -> Iterator[tuple[float, bytes]]:
        """Each payload after its gap in seconds since the one before, the first since the request."""
        before_s = 0.0
        for each in self._replayed().chunks:
            yield (each.at_s - before_s) / speed, each.payload()
            before_s = each.at_s

    def _replayed(self) -> Answer:
        if self.answer is None:
            raise ValueError("the exchange has no answer")
        return self.answer


class Recording:
    """The exchanges of a file, and which of them answers a request."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.exchanges = exchanges
        self._matching: dict[Any, list[Exchange]] = {}
        self._turns: dict[Any, int] = {}
        for exchange in exchanges:
            for signature in self._signatures_of(exchange):
                self._matching.setdefault(signature, []).append(exchange)

    @classmethod
    def load(cls, path: str) -> Self:
        """Raises `InvalidRecording`, OSError when the file cannot be read."""
        with open(path, "rb") as file:
            return cls([_exchange(line, f"{path}: line {number}") for number, line in enumerate(file, 1)])

    def find(self, body: bytes, path: str) -> Exchange | None:
        """The exchange that answers this request: the same request, else the same but for the model, else one with
        the same last user message and the same choice of streaming.

        Exchanges that match equally well are used in turn. Those that the client or the relay cut short are left out.
        """
        for signature in signatures(body, path):
            matching = self._matching.get(signature)
            if matching:
                turn = self._turns.get(signature, 0)
                self._turns[signature] = turn + 1
                return matching[turn % len(matching)]
        return None

    @staticmethod
    def _signatures_of(exchange: Exchange) -> list[tuple[str, ...]]:
        request = exchange.request
        if exchange.answer is None or exchange.interrupted not in (None, "upstream") or request.method == "HEAD":
            return []
        return signatures(b"" if request.body == NO_BODY else bytes(request.body), bare_path(request.path))


def _exchange(line: bytes, place: str) -> Exchange:
    if not line.endswith(b"\n") and not line.endswith(b"}"):
        raise InvalidRecording(f"{place}: the line was not finished")
    try:
        return msgspec.json.decode(line, type=Exchange)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecording(f"{place}: {error}") from None
