"""What takes too long to load on the event loop: modules of libraries, and what is made of them at the first request.

An application answers a request with a `Loadable` that is not loaded yet; `loader.py` loads it in a thread while only
that connection waits, and the application is asked again.
"""

from tokenfall.imports import imported


class Loadable:
    """Something that is loaded once and stays. All that need it share one object."""

    def __init__(self, *, after: "Loadable | None" = None) -> None:
        """`after`: what must be loaded before it."""
        self.after = after
        self._is_loaded = False

    @property
    def is_loaded(self) -> bool:
        """Whether it can be used without a wait."""
        return self._is_loaded

    def load(self) -> None:
        """Do what takes long. Called in a thread; whatever it raises, it is tried again at the next request."""
        raise NotImplementedError

    def finish(self) -> None:
        """Do the rest. Called in the loop's thread after `load`."""
        self._is_loaded = True


class Modules(Loadable):
    """Modules by name, imported in this order."""

    def __init__(self, *names: str, after: Loadable | None = None) -> None:
        super().__init__(after=after)
        self._names = names

    @property
    def is_loaded(self) -> bool:
        """Also where something else imported them."""
        if not self._is_loaded:
            self._is_loaded = all(imported(name) is not None for name in self._names)
        return self._is_loaded

    def load(self) -> None:
        for name in self._names:
            __import__(name)


class _Threading(Modules):
    """The standard library's `threading`, which takes the thread that imports it for the main thread.

    So a thread imports what it needs, and the loop's thread the module itself.
    """

    def __init__(self) -> None:
        super().__init__("threading")

    def load(self) -> None:
        for name in ("functools", "collections", "itertools", "_weakrefset"):
            __import__(name)

    def finish(self) -> None:
        super().load()
        super().finish()


THREADING = _Threading()
"""To be loaded before whatever imports `threading`."""

LIVE = Modules(
    "asyncio",
    "tokenfall.reactor.bridge",
    "tokenfall.http.live",
    "tokenfall.logs_formatters",
    after=THREADING,
)
"""What the first answer that is awaited needs."""
