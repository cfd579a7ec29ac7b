"""Settings given as keywords -> a running server. Reads no environment and no `.env`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tokenfall.settings import InvalidSetting, Settings, defaults, load
from tokenfall.testing.hosts import Host
from tokenfall.testing.processes import ProcessHost
from tokenfall.testing.server import TokenfallServer
from tokenfall.testing.threads import ThreadHost

DEFAULTS = {"port": "0", "rate_limit_rps": "0", "drain_timeout": "200ms", "sim": "gap=1ms", "log_level": "warning"}
"""What is different in a test: a free port, no limit, a quick end, quick answers, and no line for each request."""


@contextmanager
def serve(*, process: bool = False, **settings: object) -> Iterator[TokenfallServer]:
    """A server on a free port until the block ends, in a thread of this process or, with `process`, in a child.

    Settings go by their environment names in lower case: `serve(sim="ttft=10ms", api_key="k")`. Values are written as
    in the environment; numbers, booleans, and lists of what goes by comma are taken too; None is not said at all.
    Raises `tokenfall.settings.InvalidSetting`, and OSError when it cannot listen.
    """
    host = start(settings, process=process)
    try:
        yield TokenfallServer(host)
    finally:
        host.stop()


def start(settings: Mapping[str, object], *, process: bool) -> Host:
    """A host that the caller stops. Raises as `serve`."""
    texts = texts_of(settings)
    loaded = load(texts, names=str)
    key = _control_key(loaded)
    if process:
        environment = {field.upper(): text for field, text in texts.items()}
        return ProcessHost(environment, key, host=loaded.host, drain_s=loaded.drain_timeout)
    if loaded.workers > 1:
        raise InvalidSetting(f"workers: got {loaded.workers}, takes 1 in a thread; more with process=True")
    return ThreadHost(loaded, key)


def texts_of(settings: Mapping[str, object]) -> dict[str, str]:
    """As the environment would have them, with what is different in a test. Raises `InvalidSetting`."""
    known = defaults()
    for field in settings:
        if field not in known:
            raise InvalidSetting(f"{field}: no such setting; there are {', '.join(known)}")
    said = {field: _text(value) for field, value in settings.items() if value is not None}
    return {**DEFAULTS, **said, "sim": _timed(said.get("sim", ""))}


def has_times(sim: str) -> bool:
    """Whether grammar names what has times of its own, which a gap that is said, by whomever, would replace."""
    return bool(_keys(sim) & {"profile", "script"})


def _timed(sim: str) -> str:
    """Grammar with the gap of `DEFAULTS`, unless it says how fast an answer is."""
    own = has_times(sim) or _keys(sim) & {"gap", "tps"}
    return sim if own else ",".join(filter(None, (DEFAULTS["sim"], sim)))


def _keys(sim: str) -> set[str]:
    return {part.partition("=")[0].strip() for part in sim.split(",")}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def _control_key(settings: Settings) -> str | None:
    """A key that the controls can show. Raises `InvalidSetting` where there are only digests."""
    plain = [key for key in settings.api_key if not key.startswith("sha256:")]
    if settings.api_key and not plain:
        raise InvalidSetting("api_key: got only digests, takes at least one plain key: the server's controls show it")
    return plain[0] if plain else None
