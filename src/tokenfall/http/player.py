"""What a connection needs of whatever plays its answer."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from tokenfall.metrics import Metrics

    class Player(Protocol):
        """Plays one answer on one connection."""

        @property
        def status(self) -> int:
            """The status sent, 499 while none was."""
            ...

        @property
        def sent_bytes(self) -> int:
            """Bytes of the body handed on, chunk coding included."""
            ...

        @property
        def metrics(self) -> Metrics:
            """Where its stream is counted."""
            ...

        def half_closed(self) -> bool:
            """The client closed its side: True to go on."""
            ...

        def resume(self) -> None:
            """All that was written is taken."""
            ...

        def stop(self) -> None:
            """The connection is gone: free everything at once, write nothing."""
            ...

        def cut(self) -> None:
            """End now, saying so where the format can."""
            ...
