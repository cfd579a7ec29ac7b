"""What a stream may hold in place of a frame: the end of its connection. Pure."""

from tokenfall.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal


class Disconnect(Record):
    """Break the connection here: by RST, or by FIN with the body's end missing."""

    __slots__ = ("how",)

    def __init__(self, how: 'Literal["reset", "close"]') -> None:
        self.how = how
