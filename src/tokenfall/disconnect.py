"""A stream item that breaks the connection, used for fault injection. Pure."""

from __future__ import annotations

from tokenfall.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal


class Disconnect(Record):
    """Break the connection: by RST (`reset`), or by FIN without the end of the body (`close`)."""

    how: Literal["reset", "close"]
