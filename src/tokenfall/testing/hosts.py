"""The interface of the thread or process that runs the server under test."""

from typing import NamedTuple, Protocol


class Address(NamedTuple):
    """The address that a server listens on, and the API key for its controls, if it requires one."""

    host: str
    port: int
    key: str | None


class Host(Protocol):
    """A server that runs until `stop`."""

    @property
    def address(self) -> Address:
        """The address that it listens on."""
        ...

    @property
    def pid(self) -> int | None:
        """PID of the server's process, None if it is this process."""
        ...

    def exit_reason(self) -> str | None:
        """Why the server ended, None while it runs."""
        ...

    def stop(self) -> None:
        """Drain the server, release all resources and wait until that is done. Further calls do nothing."""
        ...
