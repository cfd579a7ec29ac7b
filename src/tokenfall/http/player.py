"""The interface between a connection and the object that sends its response over time."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from tokenfall.metrics.registry import Metrics

    class Player(Protocol):
        """Sends one response on one connection."""

        @property
        def status(self) -> int:
            """The status sent; 499 before that."""
            ...

        @property
        def sent_bytes(self) -> int:
            """Bytes of the body written so far, including the chunked coding."""
            ...

        @property
        def metrics(self) -> Metrics:
            """The metrics that count its stream."""
            ...

        def half_closed(self) -> bool:
            """The client half-closed the connection; return True to continue."""
            ...

        def pause(self) -> None:
            """The kernel did not accept all bytes: write nothing more until `resume`, except by `Connection.write`."""
            ...

        def resume(self) -> None:
            """The kernel has accepted all bytes written so far."""
            ...

        def stop(self) -> None:
            """The connection is closed: release everything at once, write nothing."""
            ...

        def cut(self) -> None:
            """End now, with the format's shutdown frame if it has one."""
            ...
