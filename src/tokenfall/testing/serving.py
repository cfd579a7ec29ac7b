"""Starts a server from settings given as keywords. Reads neither the environment nor `.env`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tokenfall.settings import InvalidSetting, Settings, load
from tokenfall.settings.fields import SETTINGS
from tokenfall.testing.hosts import Host
from tokenfall.testing.processes import ProcessHost
from tokenfall.testing.server import TokenfallServer
from tokenfall.testing.threads import ThreadHost

DEFAULTS = {"port": "0", "rate_limit_rps": "0", "drain_timeout": "200ms", "sim": "gap=1ms", "log_level": "warning"}
"""Defaults that differ in a test: a free port, no rate limit, a short drain, fast responses, and no access log."""


@contextmanager
def serve(*, process: bool = False, **settings: object) -> Iterator[TokenfallServer]:
    """A server on a free port until the block ends, in a thread of this process or, with `process`, in a child.

    Settings have their environment names in lower case: `serve(sim="ttft=10ms", api_key="k")`. Values are texts as in
    the environment, or numbers, booleans and lists; None counts as not set. Raises `tokenfall.settings.InvalidSetting`,
    and OSError if it cannot listen.
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
    """The settings as environment texts, with `DEFAULTS` applied. Raises `InvalidSetting`."""
    for field in settings:
        if field not in SETTINGS:
            raise InvalidSetting(f"{field}: no such setting; there are {', '.join(SETTINGS)}")
    given = {field: _text(value) for field, value in settings.items() if value is not None}
    return {**DEFAULTS, **given, "sim": _timed(given.get("sim", ""))}


def has_times(sim: str) -> bool:
    """Whether the grammar names a profile or script, whose recorded times any `gap` would override."""
    return bool(_keys(sim) & {"profile", "script"})


def _timed(sim: str) -> str:
    """The grammar with the gap of `DEFAULTS`, unless it sets the timing itself."""
    sets_timing = has_times(sim) or _keys(sim) & {"gap", "tps"}
    return sim if sets_timing else ",".join(filter(None, (DEFAULTS["sim"], sim)))


def _keys(sim: str) -> set[str]:
    return {part.partition("=")[0].strip() for part in sim.split(",")}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def _control_key(settings: Settings) -> str | None:
    """A key for the control requests. Raises `InvalidSetting` if all keys are digests."""
    plain = [key for key in settings.api_key if not key.startswith("sha256:")]
    if settings.api_key and not plain:
        raise InvalidSetting("api_key: got only digests, takes at least one plain key, for the control requests")
    return plain[0] if plain else None
