"""A server in a thread of this process, on an event loop of its own. Leaves the process as it finds it.

No signal handler, no logging set-up, no collector setting and no descriptor limit is touched.
"""

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread

from tokenfall.bootstrap import Server
from tokenfall.bootstrap.loops import loop_factory
from tokenfall.settings import Settings
from tokenfall.testing.hosts import Address


class ThreadHost:
    """Listens when it is made. Raises OSError when it cannot."""

    pid = None

    def __init__(self, settings: Settings, key: str | None) -> None:
        self._settings = settings
        self._listening: Future[int] = Future()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        # Who forgets to stop it must not be kept from leaving.
        self._thread = Thread(target=self._run, name="tokenfall", daemon=True)
        self._thread.start()
        try:
            port = self._listening.result()
        except BaseException:
            self._thread.join()
            raise
        self.address = Address(settings.host, port, key)

    def obituary(self) -> str | None:
        """See `tokenfall.testing.hosts.Host`."""
        if self._thread.is_alive():
            return None
        return "it was stopped" if self._failure is None else f"its thread failed: {self._failure!r}"

    def stop(self) -> None:
        """See `tokenfall.testing.hosts.Host`."""
        if self._thread.is_alive() and self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop is closed: the thread is about to end
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - whatever ended it is told to who waits, or at the next use
            self._failure = error
            if not self._listening.done():
                self._listening.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = Server(self._settings, None, json_logs=False, guest=True)
        try:
            addresses = await server.start()
            self._listening.set_result(addresses[0][1])
            await self._stop.wait()
        finally:
            await server.stop()
