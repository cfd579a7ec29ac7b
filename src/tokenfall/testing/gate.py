"""A gate: where streams with `gate=NAME` wait until a test lets them go on."""

from tokenfall.testing.control import Control
from tokenfall.testing.waiting import awaited


class Gate:
    """Begins closed, and is made by the first stream or test that names it. Each call is one request."""

    def __init__(self, control: Control, name: str) -> None:
        self.name = name
        self._control = control
        self._path = f"/sim/gates/{name}"

    def open(self) -> None:
        """Let everything through from now on."""
        self._control.document("PATCH", self._path, body={"open": True})

    def close(self) -> None:
        """Let nothing through from now on, nor what was allowed before."""
        self._control.document("PATCH", self._path, body={"open": False})

    def allow(self, tokens: int) -> None:
        """Let so many more tokens through, of all streams together."""
        self._control.document("PATCH", self._path, body={"tokens": tokens})

    def forget(self) -> None:
        """Drop it, and let go who waits here. Raises `ControlRefused` when nobody has made it."""
        self._control.document("DELETE", self._path)

    @property
    def waiting(self) -> int:
        """How many streams wait here now."""
        return self._told("waiting")

    @property
    def passed(self) -> int:
        """How many tokens have passed."""
        return self._told("passed")

    def wait_until_waiting(self, streams: int = 1, *, within_s: float = 5.0) -> None:
        """Return once so many streams wait here; looks every 3 ms. Raises TimeoutError.

        Blocks: in a coroutine `await asyncio.to_thread(gate.wait_until_waiting)`.
        """
        awaited(
            lambda: self.waiting,
            lambda waiting: waiting >= streams,
            within_s=within_s,
            what=f"{streams} waiting at the gate {self.name}",
        )

    def _told(self, key: str) -> int:
        for told in self._control.document("GET", "/sim/gates")["gates"]:
            if told["name"] == self.name:
                return int(told[key])
        return 0
