"""A loadable whose loading the test controls."""

import asyncio
import threading

from tokenfall.http.loadable import Loadable


class SlowLoadable(Loadable):
    """`load` blocks until `allowed` is set; the first loads raise the errors in `failures`."""

    def __init__(self, *failures: Exception, after: Loadable | None = None) -> None:
        super().__init__(after=after)
        self.allowed = threading.Event()
        self.threads: list[int] = []
        self._failures = list(failures)
        self._ended = asyncio.Event()

    def load(self) -> None:
        self.allowed.wait()
        self.threads.append(threading.get_ident())
        if self._failures:
            raise self._failures.pop(0)

    def finish(self) -> None:
        super().finish()
        self._ended.set()

    async def finish_loading(self) -> None:
        """Allow the load, which must succeed, and return once all waiters are notified."""
        self.allowed.set()
        await self._ended.wait()
        self._ended.clear()
        for _ in range(20):
            await asyncio.sleep(0)
