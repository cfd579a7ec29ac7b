"""What runs a server under test: what a thread and a process have in common."""

from typing import NamedTuple, Protocol


class Address(NamedTuple):
    """Where a server listens, and the key that its controls ask for."""

    host: str
    port: int
    key: str | None


class Host(Protocol):
    """A server that runs until `stop`."""

    @property
    def address(self) -> Address:
        """Where it listens."""
        ...

    @property
    def pid(self) -> int | None:
        """Of the process that serves, None where it is this one."""
        ...

    def exit_reason(self) -> str | None:
        """How the server came to its end, None while it runs."""
        ...

    def stop(self) -> None:
        """Drain it and free everything; a second time does nothing. Returns when nothing is left."""
        ...
