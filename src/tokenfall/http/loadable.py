"""Lazy loading of modules and objects that take too long to load on the event loop.

An application returns a `Loadable` that is not loaded yet in place of a response; `loader.py` loads it in a thread
while only that connection waits, and then calls the application again.
"""

from tokenfall.imports import imported


class Loadable:
    """An object that is loaded once and stays loaded. All requests that need it share one instance."""

    def __init__(self, *, after: "Loadable | None" = None) -> None:
        """`after`: a dependency, loaded first."""
        self.after = after
        self._is_loaded = False

    @property
    def is_loaded(self) -> bool:
        """Whether it can be used without loading."""
        return self._is_loaded

    def load(self) -> None:
        """Do the slow part. Called in a thread; after an exception, the next request tries again."""
        raise NotImplementedError

    def finish(self) -> None:
        """Do the fast part. Called in the loop's thread after `load`."""
        self._is_loaded = True


class Modules(Loadable):
    """Modules by name, imported in the given order."""

    def __init__(self, *names: str, after: Loadable | None = None) -> None:
        super().__init__(after=after)
        self._names = names

    @property
    def is_loaded(self) -> bool:
        """True also if other code imported them."""
        if not self._is_loaded:
            self._is_loaded = all(imported(name) is not None for name in self._names)
        return self._is_loaded

    def load(self) -> None:
        for name in self._names:
            __import__(name)


class _Threading(Modules):
    """The standard library's `threading`, which assumes that the thread that imports it is the main thread.

    So a thread imports its dependencies, and the loop's thread imports the module itself.
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
"""Dependency of every `Loadable` that imports `threading`."""

LIVE = Modules(
    "asyncio",
    "tokenfall.reactor.bridge",
    "tokenfall.http.live",
    "tokenfall.logs.formatters",
    after=THREADING,
)
"""Needed by the first response that is awaited."""
