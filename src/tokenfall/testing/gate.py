"""A gate: streams with `gate=NAME` wait at it until a test opens it."""

from tokenfall.testing.control import Control
from tokenfall.testing.waiting import poll


class Gate:
    """Initially closed; created by the first stream or test that uses its name. Each method call is one request."""

    def __init__(self, control: Control, name: str) -> None:
        self.name = name
        self._control = control
        self._path = f"/sim/gates/{name}"

    def open(self) -> None:
        """Let all tokens pass from now on."""
        self._control.document("PATCH", self._path, body={"open": True})

    def close(self) -> None:
        """Let no token pass from now on, including those allowed before."""
        self._control.document("PATCH", self._path, body={"open": False})

    def allow(self, tokens: int) -> None:
        """Let this many further tokens pass, in total for all streams."""
        self._control.document("PATCH", self._path, body={"tokens": tokens})

    def forget(self) -> None:
        """Delete the gate and release the waiting streams. Raises `ControlRefused` if it does not exist."""
        self._control.document("DELETE", self._path)

    @property
    def waiting(self) -> int:
        """Number of streams waiting at the gate."""
        return self._count("waiting")

    @property
    def passed(self) -> int:
        """Number of tokens that have passed."""
        return self._count("passed")

    def wait_until_waiting(self, streams: int = 1, *, within_s: float = 5.0) -> None:
        """Return once this many streams wait at the gate; polls every 3 ms. Raises TimeoutError.

        It blocks; in a coroutine use `await asyncio.to_thread(gate.wait_until_waiting)`.
        """
        poll(
            lambda: self.waiting,
            lambda waiting: waiting >= streams,
            within_s=within_s,
            what=f"{streams} waiting at the gate {self.name}",
        )

    def _count(self, key: str) -> int:
        for gate in self._control.document("GET", "/sim/gates")["gates"]:
            if gate["name"] == self.name:
                return int(gate[key])
        return 0
