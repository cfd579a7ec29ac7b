"""All settings, as the fields of `Settings`."""

from __future__ import annotations

from tokenfall.reactor.poller import NAMES
from tokenfall.records import Record
from tokenfall.settings.kinds import (
    API_KEYS,
    BOOLEAN,
    DURATION,
    EXPIRY,
    HISTORY,
    KEY,
    NETWORKS,
    NUMBER,
    ORIGINS,
    REDIS,
    SIMULATION,
    SIZE,
    STORE,
    TEXT,
    URL,
    Kind,
    integer,
    one_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_SIM = "gap=100ms"
GROQ_URL = "https://api.groq.com/openai/v1"
GROQ_MODEL = "llama-3.3-70b-versatile"
MEMORY = "memory://"


class Setting(Record):
    """Metadata of a field: parser, help text, whether its value is secret, whether it is a flag."""

    default: object
    kind: Kind
    help: str
    secret: bool
    flag: bool


def setting(default: object, kind: Kind, help: str, *, secret: bool = False, flag: bool = True) -> Any:  # noqa: A002, ANN401, PLR0917 - argparse's name; the field has the type
    """A field of `Settings`."""
    return Setting(default, kind, help, secret, flag)


class Settings:
    """All settings, parsed: times in seconds, sizes in bytes. Treat as immutable."""

    host: str = setting("127.0.0.1", TEXT, "address to listen on")
    port: int = setting(8080, integer(0, 65535), "port to listen on; 0 selects a free one")
    workers: int = setting(
        1, integer(1, 64), "processes that share the port; more than 1 need a shared history (SQLite or Redis)"
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
    max_tokens: int = setting(4096, integer(1, 1_000_000), "maximum tokens of a response if the caller sets none")
    system_prompt: str | None = setting(None, TEXT, "system message of every chat without one")
    rate_limit_rps: float = setting(
        10.0, NUMBER, "requests per second for each client address; 0 switches the limit off"
    )
    rate_limit_burst: int = setting(20, integer(1, 1_000_000), "size of a burst of requests")
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
        one_of("cancel", "finish"),
        "what happens to a turn when its client disconnects, if the request does not set it",
    )
    detached_turns: int = setting(
        256, integer(1, 1_000_000), "maximum number of turns that continue without their client"
    )
    detached_memory: int = setting(8 * 1024**2, SIZE, "memory for the questions and texts of these turns")
    detached_for: float = setting(600.0, DURATION, "time for which such a turn continues")
    request_memory: int = setting(
        128 * 1024**2,
        SIZE,
        "memory of a process for request bodies that are being received or handled, sent to the upstream until its"
        " first token, or answered in running chats; above it: 503",
    )
    response_memory: int = setting(
        64 * 1024**2,
        SIZE,
        "memory of a process for responses that are held complete until their clients have read them; above it: 503",
    )
    history_limit: int = setting(1000, integer(2, 1_000_000), "messages stored per conversation")
    history_memory: int = setting(16 * 1024**2, SIZE, "memory for all conversations in memory://")
    context_messages: int = setting(20, integer(1, 10_000), "messages of the history that are sent to the model")
    context_tokens: int | None = setting(
        None,
        integer(1, 100_000_000),
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
    poller: str = setting("auto", one_of(*NAMES), "poller of the event loop; auto: the best one of the platform")
    metrics_vllm: bool = setting(False, BOOLEAN, "export vLLM's metrics for the simulator too; needs WORKERS=1")
    log_level: str = setting("info", one_of("debug", "info", "warning", "error"), "lowest level that is logged")
    log_format: str = setting("auto", one_of("auto", "json", "console"), "auto: console on a terminal, else json")
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
        20_000, integer(1, 1_000_000), "maximum number of connections; the descriptor limit may lower it"
    )
    upstream_connect_timeout: float = setting(5.0, DURATION, "time to connect to the upstream")
    upstream_first_token_timeout: float = setting(30.0, DURATION, "time from the request to the upstream's first token")
    upstream_next_token_timeout: float = setting(15.0, DURATION, "time between two tokens of the upstream")
    upstream_total_timeout: float = setting(300.0, DURATION, "time for a complete response of the upstream")
    upstream_retries: int = setting(2, integer(0, 10), "retries of a request before its first token")
    upstream_warm: int = setting(4, integer(0, 1_000), "connections to the upstream that are opened in advance")

    def __init__(self, **values: object) -> None:
        """`values` override the defaults by field name. Raises TypeError on an unknown field."""
        for name, about in SETTINGS.items():
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
    def redis_urls(self) -> dict[str, str]:
        """The URLs of the stores that are in Redis, by store."""
        urls = {"history": self.history, "limits": self.limits, "turns": self.turns}
        return {store: url for store, url in urls.items() if url.startswith("redis")}

    def redis_setting(self, store: str) -> str:
        """The name of the setting with the URL of this store, which is in Redis."""
        return "REDIS_URL" if self.redis_urls[store] == self.redis_url else f"{store.upper()}_URL"

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


SETTINGS: dict[str, Setting] = {name: about for name, about in vars(Settings).items() if isinstance(about, Setting)}
"""The metadata of the fields, in order."""
