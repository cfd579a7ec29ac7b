"""The recording file format (one JSON line per exchange), and the lookup of exchanges for replay.

Written by `tokenfall record`, read by the simulator's replay and `tokenfall fit`. A recording is loaded completely. It
must not use clocks or sockets: the caller waits for the gaps of a replayed exchange.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, Self

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from tokenfall.recording.signatures import bare_path, signatures

_encode = msgspec.json.encode

Break = Literal["client", "upstream", "relay", "size"]
"""Why an exchange is incomplete: client disconnect, upstream failure, shutdown of the relay, or the size limit."""


PART_CHARACTERS = 65_536
"""Encoding more text at once would hold the interpreter for too long."""

NO_BODY = Raw(b"null")


class InvalidRecording(ValueError):
    """Not a valid recording; the message is one line with the file, the line number and the problem."""


class RecordedChunk(Struct, frozen=True, array_like=True):
    """One read of a response body, `at_s` seconds after the request: text, or base64 if it is not valid UTF-8."""

    at_s: float
    data: str
    coding: Literal["", "base64"] = ""

    def json_parts(self) -> Iterator[bytes]:
        """The chunk as JSON, in parts of bounded size."""
        yield b'[%b,"' % _encode(self.at_s)
        for start in range(0, len(self.data), PART_CHARACTERS):
            yield _encode(self.data[start : start + PART_CHARACTERS])[1:-1]
        yield b'",%b]' % _encode(self.coding)

    def payload(self) -> bytes:
        """The original bytes. Raises ValueError for invalid base64."""
        return b64decode(self.data, validate=True) if self.coding else self.data.encode()


def chunk(at_s: float, payload: bytes) -> RecordedChunk:
    """`payload` as a `RecordedChunk`; base64 if a read ends inside a character."""
    try:
        return RecordedChunk(round(at_s, 6), payload.decode())
    except UnicodeDecodeError:
        return RecordedChunk(round(at_s, 6), b64encode(payload).decode(), "base64")


class RecordedRequest(Struct, frozen=True, kw_only=True):
    """A recorded request, redacted. `body` is `null` if it was not JSON."""

    method: str
    path: str
    headers: dict[str, str]
    body: Raw = NO_BODY


class RecordedResponse(Struct, frozen=True, kw_only=True):
    """A recorded response. If it was not streamed, it has one chunk, with the time of its end.

    `headers` have lower-case names.
    """

    status: int
    headers: dict[str, str]
    streamed: bool
    chunks: tuple[RecordedChunk, ...]

    @property
    def body(self) -> bytes:
        """The complete body."""
        return b"".join(each.payload() for each in self.chunks)

    def took_s(self, speed: float = 1.0) -> float:
        """Seconds from the request to the last byte, divided by `speed`."""
        return self.chunks[-1].at_s / speed if self.chunks else 0.0

    def frames(self, speed: float = 1.0) -> Iterator[tuple[float, bytes]]:
        """Pairs of gap and payload. A gap is the time since the previous frame or the request, divided by `speed`."""
        before_s = 0.0
        for each in self.chunks:
            yield (each.at_s - before_s) / speed, each.payload()
            before_s = each.at_s

    def json_parts(self) -> Iterator[bytes]:
        """The response as JSON, in parts of bounded size."""
        yield _encode(replace(self, chunks=())).removesuffix(b"]}")
        for number, each in enumerate(self.chunks):
            if number:
                yield b","
            yield from each.json_parts()
        yield b"]}"

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"{self.status} is not the status of a response")
        times = [0.0, *(each.at_s for each in self.chunks)]
        if any(earlier > later for earlier, later in pairwise(times)):
            raise ValueError("the times of chunks must not decrease or be negative")
        for each in self.chunks:
            each.payload()


class RecordedExchange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request and its response (`answer`, None if there was none). `time` is that of the request, in UTC."""

    v: Literal[1] = 1
    time: str
    request: RecordedRequest
    answer: RecordedResponse | None = None
    interrupted: Break | None = None

    def line(self) -> bytes:
        """The line in the file. Encoded in parts: the body of an exchange may be large."""
        parts = [b'{"v":%d,"time":%b,"request":' % (self.v, _encode(self.time)), _encode(self.request), b',"answer":']
        parts += [b"null"] if self.answer is None else self.answer.json_parts()
        return b"".join((*parts, b',"interrupted":%b}\n' % _encode(self.interrupted)))


class Recording:
    """The exchanges of a file, indexed by request signature for replay."""

    def __init__(self, exchanges: Sequence[RecordedExchange]) -> None:
        self.exchanges = exchanges
        self._matching: dict[Any, list[RecordedExchange]] = {}
        self._uses: dict[Any, int] = {}
        for exchange in exchanges:
            for signature in self._signatures_of(exchange):
                self._matching.setdefault(signature, []).append(exchange)

    @classmethod
    def load(cls, path: str) -> Self:
        """Raises `InvalidRecording`, and OSError if the file cannot be read."""
        with open(path, "rb") as file:
            return cls([_exchange(line, f"{path}: line {number}") for number, line in enumerate(file, 1)])

    def find(self, body: bytes, path: str) -> RecordedExchange | None:
        """The exchange to replay for a request; it has a response.

        Order of preference: the same request; the same except for the model; the same last user message and `stream`.

        Exchanges that match equally well are used round-robin. Those that ended by client disconnect, shutdown or the
        size limit are never used.
        """
        for signature in signatures(body, path):
            matching = self._matching.get(signature)
            if matching:
                uses = self._uses.get(signature, 0)
                self._uses[signature] = uses + 1
                return matching[uses % len(matching)]
        return None

    @staticmethod
    def _signatures_of(exchange: RecordedExchange) -> list[tuple[str, ...]]:
        request = exchange.request
        if exchange.answer is None or exchange.interrupted not in (None, "upstream") or request.method == "HEAD":
            return []
        return signatures(b"" if request.body == NO_BODY else bytes(request.body), bare_path(request.path))


def _exchange(line: bytes, place: str) -> RecordedExchange:
    if not line.endswith(b"\n") and not line.endswith(b"}"):
        raise InvalidRecording(f"{place}: the line is incomplete")
    try:
        return msgspec.json.decode(line, type=RecordedExchange)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecording(f"{place}: {error}") from None
