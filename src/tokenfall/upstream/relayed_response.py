"""Receives a non-streaming response that is forwarded to a client: a large one slice by slice, as the client reads it.

| state | body received | response complete | next states |
|---|---|---|---|
| collecting | collected | checked, `body` is set: ended | paused, once more than `SLICE_BYTES` are collected |
| paused | at most the rest of one read is collected | ended | forwarding by `forward` |
| forwarding | sent | ended | |

Reading from the upstream pauses while the response is paused, and while the client is slow.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tokenfall.errors import UpstreamMalformed
from tokenfall.upstream.refusals import MAX_ERROR_BODY_BYTES, error_document
from tokenfall.upstream.response import CompleteResponse

if TYPE_CHECKING:
    from tokenfall.http.response import Send
    from tokenfall.upstream.timeouts import Watch

SLICE_BYTES = MAX_ERROR_BODY_BYTES
"""A body of at most this size is checked completely, and sent complete."""

_CLOSING = {b"{": b"}", b"[": b"]"}


class RelayedResponse(CompleteResponse):
    """`end` is done when `body` is complete, or when the first slice of a larger body is there.

    In the second case `is_large` is set, and the exchange continues: call `forward`, and `close` at the end, with any
    outcome. Of a large body only the size, the first and the last character are checked.
    """

    __slots__ = ("_expected_last", "_last", "_send", "is_large")

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self.is_large = False
        self._send: Send | None = None
        self._last = b""  # character that is not white space
        self._expected_last = b""

    def take(self, data: bytes) -> None:
        if not self.count(data):
            return
        self._last = data.rstrip()[-1:] or self._last
        if self._send is not None:
            room = self._send(data, is_token=False)
            if room is not None:
                self.wait_for(room)
            return
        self._received += data
        if len(self._received) > SLICE_BYTES and not self.is_large:
            self._pause()

    def completed(self) -> None:
        if not self.is_large:
            super().completed()
        elif self._last != self._expected_last:
            self.fail(UpstreamMalformed("the upstream's response is not complete JSON"))
        else:
            self.finish()

    async def forward(self, send: Send) -> None:
        """Send the body, and return when it is complete. Raises the error of a response that breaks off."""
        end = self.end
        data, self._received = bytes(self._received), bytearray()
        self._send = send
        room = send(data, is_token=False)
        del data  # freed while the client reads it
        if not end.done():
            if room is not None:
                self.wait_for(room)
            elif self.connection is not None:
                self.connection.resume_reading()
        await end

    def abandon(self) -> None:
        """As in the base class; of a large response, `close` closes the connection."""
        if not self.is_large:
            super().abandon()

    def close(self) -> None:
        end, self.is_large = self._done, False
        if end is not None and end.done() and not end.cancelled():
            end.exception()  # retrieved, also if nothing awaits it any more
        self._send = None
        self._received.clear()
        super().close()

    def _pause(self) -> None:
        """The first slice is there: wait for `forward`."""
        received = bytes(self._received)
        error = error_document(received)
        if error is not None:
            self.fail(error)
            return
        self.is_large = True
        self._expected_last = _CLOSING[received.lstrip()[:1]]
        if self.connection is not None:
            self.connection.pause_reading()
        first_slice = self.end
        self._done = asyncio.get_running_loop().create_future()
        first_slice.set_result(None)
