"""All settings: flags, environment variables, help and `docs/settings.md` are derived from the fields of `Settings`.

The field `rate_limit_rps` is the flag `--rate-limit-rps` and the environment variable `RATE_LIMIT_RPS`. Precedence:
flag, environment, `.env`, default. Only `bootstrap`, `cli` and `testing` read settings.
"""

from __future__ import annotations

from os import path

from tokenfall import installation
from tokenfall.errors import InvalidRequest
from tokenfall.reactor.poller import NAMES, available
from tokenfall.simulator import grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

DEFAULT_SIM = "gap=100ms"
GROQ_URL = "https://api.groq.com/openai/v1"
GROQ_MODEL = "llama-3.3-70b-versatile"
MEMORY = "memory://"
FULL_IMAGE_HINT = "; the full container image (target full) includes it"
NO_CERTIFICATES = (
    ", and there are no CA certificates to verify it; mount a file with them and set SSL_CERT_FILE to its path"
)
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


class InvalidSetting(ValueError):
    """A setting has an invalid value; the message is one line with the name, the value and the accepted values."""


class InvalidText(ValueError):
    """The text is invalid, for a reason that is more specific than `Kind.takes`."""


class Kind:
    """The parser of a setting's text: `read` raises ValueError on an invalid text, `takes` describes valid ones."""

    __slots__ = ("read", "takes")

    def __init__(self, read: Callable[[str], Any], takes: str) -> None:
        self.read = read
        self.takes = takes


class Setting:
    """Metadata of a field: parser, help text, whether its value is secret, whether it is a flag."""

    __slots__ = ("default", "flag", "help", "kind", "secret")

    def __init__(self, default: object, kind: Kind, help: str, *, secret: bool, flag: bool) -> None:  # noqa: A002, PLR0917 - argparse's name
        self.default = default
        self.kind = kind
        self.help = help
        self.secret = secret
        self.flag = flag


def _integer(least: int, most: int) -> Kind:
    def read(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return Kind(read, f"an integer from {least} to {most}" if least < most else f"only {least} in this version")


def _number(text: str) -> float:
    value = float(text) if text.isascii() and text.replace(".", "", 1).isdigit() else -1.0
    if not 0 <= value <= 1e6:
        raise ValueError(text)
    return value


def _duration(text: str) -> float:
    value = grammar.seconds(text)
    if value == 0:
        raise ValueError(text)
    return value


def _expiry(text: str) -> float:
    for unit, factor in (("h", 3600.0), ("d", 86_400.0)):
        if text.endswith(unit):
            return _duration(text.removesuffix(unit) + "s") * factor
    return _duration(text)


def _store(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        scheme, separator, location = text.partition("://")
        if not separator or scheme not in schemes or any(c.isspace() for c in text):
            raise ValueError(text)
        if scheme == "sqlite" and not path.isdir(path.dirname(sqlite_path(text)) or "."):
            raise ValueError(text)
        if (scheme == "memory") == bool(location):
            raise ValueError(text)
        return text

    return read


def sqlite_path(url: str) -> str:
    """The path in `sqlite:///chat.db` (relative) or `sqlite:////var/lib/chat.db` (absolute). Raises ValueError."""
    name = url.removeprefix("sqlite:///")
    if name == url or not name or name.endswith("/"):
        raise ValueError(url)
    return name


def _size(text: str) -> int:
    for unit, factor in (("KiB", 1024), ("MiB", 1024**2), ("GiB", 1024**3), ("", 1)):
        digits = text.removesuffix(unit)
        if text.endswith(unit) and digits.isascii() and digits.isdigit() and 0 < int(digits) * factor <= 1024**4:
            return int(digits) * factor
    raise ValueError(text)


def _one_of(*words: str) -> Kind:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Kind(read, "one of " + ", ".join(words) if len(words) > 1 else words[0])


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


def _list(read: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def read_all(text: str) -> tuple[Any, ...]:
        values = tuple(read(part.strip()) for part in text.split(",") if part.strip())
        if not values:
            raise ValueError(text)
        return values

    return read_all


def _api_key(text: str) -> str:
    digest = _key(text).removeprefix("sha256:")
    if text != digest and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
        raise ValueError("a key")
    return text


def _url(text: str) -> str:
    scheme, _, target = text.partition("://")
    has_host = bool(target.partition("/")[0])
    if scheme not in ("http", "https") or not has_host or "@" in target or any(c.isspace() for c in text):
        raise ValueError(text)
    return text


def _origin(text: str) -> str:
    scheme, separator, host = text.partition("://")
    if text != "*" and (not separator or not scheme or not host or "/" in host):
        raise ValueError(text)
    return text


def _network(text: str) -> str:
    from tokenfall.api.addresses import network  # noqa: PLC0415 - only needed with trusted proxies

    network(text)
    return text


def _key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a key")
    return text


def _simulation(text: str) -> str:
    try:
        grammar.parse(text)
    except InvalidRequest as error:
        raise InvalidText(error.message) from None
    return text


TEXT = Kind(str, "a text")
KEY = Kind(_key, "printable ASCII without spaces")
NUMBER = Kind(_number, "a number from 0 to 1000000")
DURATION = Kind(_duration, "a duration above 0 with a unit, such as 250ms, 10s or 2m")
EXPIRY = Kind(_expiry, "a duration above 0 with a unit, such as 30s, 12h or 30d")
IN_REDIS = "redis://[user:password@]host[:port][/database] or rediss://..."
REDIS = Kind(_store("redis", "rediss"), IN_REDIS)
STORE = Kind(_store("memory", "redis", "rediss"), f"memory:// or {IN_REDIS}")
HISTORY = Kind(
    _store("memory", "sqlite", "redis", "rediss"),
    f"memory://, sqlite:///file or sqlite:////absolute/file in a folder that exists, or {IN_REDIS}",
)
SIZE = Kind(_size, "a size above 0, in bytes or with a unit, such as 16KiB or 1MiB")
BOOLEAN = Kind(_boolean, "true or false")
API_KEYS = Kind(_list(_api_key), "keys separated by commas, each plain or sha256: and 64 hexadecimal digits")
URL = Kind(_url, "an http or https address without user and password")
ORIGINS = Kind(_list(_origin), "origins separated by commas, such as https://example.com, or *")
NETWORKS = Kind(_list(_network), "networks separated by commas, such as 10.0.0.0/8")
SIMULATION = Kind(
    _simulation, f"the simulator's grammar, key=value pairs separated by commas; keys: {', '.join(grammar.KEYS)}"
)


def setting(default: object, kind: Kind, help: str, *, secret: bool = False, flag: bool = True) -> Any:  # noqa: A002, ANN401, PLR0917 - argparse's name; the field has the type
    """A field of `Settings`."""
    return Setting(default, kind, help, secret=secret, flag=flag)


class Settings:
    """All settings, parsed: times in seconds, sizes in bytes. Treat as immutable."""

    host: str = setting("127.0.0.1", TEXT, "address to listen on")
    port: int = setting(8080, _integer(0, 65535), "port to listen on; 0 selects a free one")
    workers: int = setting(
        1, _integer(1, 64), "processes that share the port; more than 1 need a shared history (SQLite or Redis)"
    )
    api_key: tuple[str, ...] = setting(
        (),
        API_KEYS,
        "API keys that callers must send; other users of the machine can see a plain key on the command line",
        secret=True,
    )
    allow_anonymous: bool = setting(
        False, BOOLEAN, "serve an upstream on other addresses than loopback without API_KEY"
    )
    groq_api_key: str | None = setting(None, KEY, f"enables the upstream {GROQ_URL}", secret=True, flag=False)
    openai_api_key: str | None = setting(
        None, KEY, "key for UPSTREAM_URL when neither UPSTREAM_API_KEY nor GROQ_API_KEY is set", secret=True, flag=False
    )
    upstream_url: str | None = setting(None, URL, "base URL of an OpenAI-compatible API that generates responses")
    upstream_api_key: str | None = setting(
        None, KEY, "key for UPSTREAM_URL; unset: GROQ_API_KEY, then OPENAI_API_KEY", secret=True, flag=False
    )
    model: str | None = setting(
        None,
        TEXT,
        "model of chats that name none; unset: llama-3.3-70b-versatile, or the upstream's only model if it has one",
    )
    max_tokens: int = setting(4096, _integer(1, 1_000_000), "maximum tokens of a response if the caller sets none")
    system_prompt: str | None = setting(None, TEXT, "system message of every chat without one")
    rate_limit_rps: float = setting(
        10.0, NUMBER, "requests per second for each client address; 0 switches the limit off"
    )
    rate_limit_burst: int = setting(20, _integer(1, 1_000_000), "size of a burst of requests")
    limits_url: str | None = setting(
        None, STORE, "store of rate limits; unset: REDIS_URL, else memory://, which all workers share"
    )
    trusted_proxies: tuple[str, ...] = setting((), NETWORKS, "proxies whose X-Forwarded-For is trusted")
    cors_origins: tuple[str, ...] = setting(
        (), ORIGINS, "origins whose pages may read responses; unset: any, but only loopback with an upstream and no key"
    )
    redis_url: str | None = setting(None, REDIS, "default of HISTORY_URL, LIMITS_URL and TURNS_URL")
    history_url: str | None = setting(None, HISTORY, "store of conversations; unset: REDIS_URL, else memory://")
    history_expiry: float = setting(
        30 * 86_400.0, EXPIRY, "in Redis, time from the last turn of a conversation to its deletion"
    )
    turns_url: str | None = setting(
        None, STORE, "store of running turns, to resume them; unset: REDIS_URL, else memory:// of the process"
    )
    resume_for: float = setting(60.0, DURATION, "time after its end in which a turn can be resumed")
    resume_memory: int = setting(8 * 1024**2, SIZE, "memory of a process for ended turns that can be resumed")
    on_disconnect: str = setting(
        "cancel",
        _one_of("cancel", "finish"),
        "what happens to a turn when its client disconnects, if the request does not set it",
    )
    detached_turns: int = setting(
        256, _integer(1, 1_000_000), "maximum number of turns that continue without their client"
    )
    detached_memory: int = setting(8 * 1024**2, SIZE, "memory for the questions and texts of these turns")
    detached_for: float = setting(600.0, DURATION, "time for which such a turn continues")
    history_limit: int = setting(1000, _integer(2, 1_000_000), "messages stored per conversation")
    history_memory: int = setting(16 * 1024**2, SIZE, "memory for all conversations in memory://")
    context_messages: int = setting(20, _integer(1, 10_000), "messages of the history that are sent to the model")
    context_tokens: int | None = setting(
        None,
        _integer(1, 100_000_000),
        "estimated tokens sent to the model; older turns are omitted to fit; unset: no limit",
    )
    sim: str = setting(
        DEFAULT_SIM,
        SIMULATION,
        "default configuration of the simulator; /stream-loop has a gap of 200ms unless this is set",
    )
    sim_files: str = setting(
        ".", TEXT, "folder of the scenario files, recordings and profiles that the grammar may name"
    )
    poller: str = setting("auto", _one_of(*NAMES), "poller of the event loop; auto: the best one of the platform")
    metrics_vllm: bool = setting(False, BOOLEAN, "export vLLM's metrics for the simulator too; needs WORKERS=1")
    log_level: str = setting("info", _one_of("debug", "info", "warning", "error"), "lowest level that is logged")
    log_format: str = setting("auto", _one_of("auto", "json", "console"), "auto: console on a terminal, else json")
    header_timeout: float = setting(10.0, DURATION, "time from accept to the end of a request's head")
    body_timeout: float = setting(30.0, DURATION, "time from the head to the end of a request's body")
    idle_timeout: float = setting(75.0, DURATION, "time between two requests of a connection")
    stall_timeout: float = setting(
        30.0, DURATION, "time after which a connection is reset if its client reads less than 16 KiB"
    )
    drain_timeout: float = setting(10.0, DURATION, "time for streams to finish after a stop signal")
    max_body: int = setting(1024**2, SIZE, "maximum size of a request body")
    max_head: int = setting(16 * 1024, SIZE, "maximum size of a request head")
    max_connections: int = setting(
        20_000, _integer(1, 1_000_000), "maximum number of connections; the descriptor limit may lower it"
    )
    upstream_connect_timeout: float = setting(5.0, DURATION, "time to connect to the upstream")
    upstream_first_token_timeout: float = setting(30.0, DURATION, "time from the request to the upstream's first token")
    upstream_next_token_timeout: float = setting(15.0, DURATION, "time between two tokens of the upstream")
    upstream_total_timeout: float = setting(300.0, DURATION, "time for a complete response of the upstream")
    upstream_retries: int = setting(2, _integer(0, 10), "retries of a request before its first token")
    upstream_warm: int = setting(4, _integer(0, 1_000), "connections to the upstream that are opened in advance")

    def __init__(self, **values: object) -> None:
        """`values` override the defaults by field name. Raises TypeError on an unknown field."""
        for name, about in described().items():
            setattr(self, name, values.pop(name, about.default))
        if values:
            raise TypeError(f"there is no setting {next(iter(values))!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def replaced(self, **values: object) -> Settings:
        """A copy with the given fields changed."""
        return Settings(**{**vars(self), **values})

    @property
    def history(self) -> str:
        """URL of the store of conversations."""
        return self.history_url or self.redis_url or MEMORY

    @property
    def limits(self) -> str:
        """URL of the store of rate limits."""
        return self.limits_url or self.redis_url or MEMORY

    @property
    def turns(self) -> str:
        """URL of the store of running turns."""
        return self.turns_url or self.redis_url or MEMORY

    @property
    def upstream(self) -> str | None:
        """The upstream's base address, None for the simulator."""
        return self.upstream_url or (GROQ_URL if self.groq_api_key else None)

    @property
    def default_model(self) -> str:
        """The upstream's model for chats that name none."""
        return self.model or GROQ_MODEL

    @property
    def upstream_key(self) -> str | None:
        """The key for the upstream."""
        return self.upstream_api_key or self.groq_api_key or self.openai_api_key


_FIELDS: dict[str, Setting] = {name: about for name, about in vars(Settings).items() if isinstance(about, Setting)}


def described() -> dict[str, Setting]:
    """The metadata of the fields, in order."""
    return _FIELDS


def load(*sources: Mapping[str, str | None], names: Callable[[str], str] = str.upper) -> Settings:
    """Parse settings from texts by environment name; the first source with a value wins. Raises `InvalidSetting`.

    An empty text counts as not set, because Compose files set unset variables to empty texts.
    """
    values: dict[str, Any] = {}
    for field, about in described().items():
        name = names(field)
        text = next((source[name] for source in sources if (source.get(name) or "").strip()), None)
        if text is not None:
            values[field] = _read(name, text.strip(), about=about)
    settings = Settings(**values)
    _check(settings)
    return settings


def shown(field: str, value: object) -> str:
    """A default value in the syntax of the setting, for help and docs."""
    if value is None or value == ():
        return "none"
    kind = described()[field].kind
    if kind is DURATION or kind is EXPIRY:
        days = value / 86_400 if isinstance(value, float) else 0
        return f"{days:g}d" if days >= 1 else f"{value:g}s"
    if kind is SIZE and isinstance(value, int):
        return next(
            f"{value // size}{unit}" for unit, size in (("MiB", 1024**2), ("KiB", 1024), ("", 1)) if value % size == 0
        )
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def defaults() -> dict[str, Any]:
    """The default of each field."""
    return {name: about.default for name, about in _FIELDS.items()}


def _read(name: str, text: str, *, about: Setting) -> object:
    try:
        return about.kind.read(text)
    except InvalidText as error:
        raise InvalidSetting(f"{name}: got {text[:80]!r}: {error}") from None
    except (ValueError, KeyError):
        got = "a value that is not shown" if about.secret or "@" in text else repr(text[:80])
        raise InvalidSetting(f"{name}: got {got}, takes {about.kind.takes}") from None


def _check(settings: Settings) -> None:
    """Check combinations of settings, and settings that depend on the platform. Raises `InvalidSetting`."""
    if settings.poller not in ("auto", *available()):
        raise InvalidSetting(
            f"POLLER: got {settings.poller!r}, which this platform lacks; takes auto, {', '.join(available())}"
        )
    if settings.workers > 1 and settings.history == MEMORY:
        raise InvalidSetting(
            f"WORKERS: got {settings.workers} with HISTORY_URL=memory://, which the workers would not share; "
            "takes 1, or set HISTORY_URL=sqlite:///chat.db, or REDIS_URL=redis://..."
        )
    if settings.metrics_vllm and settings.workers > 1:
        raise InvalidSetting(
            f"METRICS_VLLM: got true with WORKERS={settings.workers}, which count separately; takes WORKERS=1"
        )
    _check_stores(settings)
    _check_upstream(settings)
    if (
        settings.upstream
        and not settings.api_key
        and settings.host not in LOOPBACK_HOSTS
        and not settings.allow_anonymous
    ):
        raise InvalidSetting(
            f"HOST: got {settings.host!r} with an upstream and no API_KEY, which would expose your upstream to anyone; "
            "takes a loopback address, or set API_KEY, or ALLOW_ANONYMOUS=true"
        )


def _check_stores(settings: Settings) -> None:
    for name, url in (("HISTORY", settings.history), ("LIMITS", settings.limits), ("TURNS", settings.turns)):
        if url.startswith("redis") and not installation.has_module("redis"):
            raise InvalidSetting(
                f"{name}_URL: got redis://, which needs the extra redis: pip install 'tokenfall[redis]', "
                "or the full container image"
            )
        if url.startswith("rediss:") and not installation.has_certificates():
            raise InvalidSetting(f"{name}_URL: got rediss://{NO_CERTIFICATES}")
    if not settings.history.startswith("sqlite:"):
        return
    if not installation.has_module("_sqlite3"):
        raise InvalidSetting(f"HISTORY_URL: got {settings.history!r}, and this Python has no SQLite{FULL_IMAGE_HINT}")
    if not installation.can_write(sqlite_path(settings.history)):
        raise InvalidSetting(
            f"HISTORY_URL: got {settings.history!r}, which is not writable (read-only file system, or a folder of "
            "another user); takes a file in a folder of this user, in a container on a volume"
        )


def _check_upstream(settings: Settings) -> None:
    if settings.upstream is None:
        return
    name = "UPSTREAM_URL" if settings.upstream_url else "GROQ_API_KEY"
    if not installation.has_module("_ssl"):
        raise InvalidSetting(f"{name}: an upstream needs TLS, and this Python has none{FULL_IMAGE_HINT}")
    if settings.upstream.startswith("https:") and not installation.has_certificates():
        raise InvalidSetting(f"{name}: got {settings.upstream!r}{NO_CERTIFICATES}")
