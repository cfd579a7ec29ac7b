"""Loads the settings from texts, and checks their combinations and the installation."""

from __future__ import annotations

from tokenfall import installation
from tokenfall.installation import FULL_IMAGE_HINT
from tokenfall.reactor.poller import available
from tokenfall.settings.fields import MEMORY, SETTINGS, Setting, Settings
from tokenfall.settings.kinds import DURATION, EXPIRY, SIZE, InvalidText, Kind, sqlite_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

NO_CERTIFICATES = (
    ", and there are no CA certificates to verify it; mount a file with them and set SSL_CERT_FILE to its path"
)
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


class InvalidSetting(ValueError):
    """A setting has an invalid value; the message is one line with the name, the value and the accepted values."""


def load(*sources: Mapping[str, str | None], names: Callable[[str], str] = str.upper) -> Settings:
    """Parse settings from texts by environment name; the first source with a value wins. Raises `InvalidSetting`.

    An empty text counts as not set, because Compose files set unset variables to empty texts.
    """
    values: dict[str, Any] = {}
    for field, about in SETTINGS.items():
        name = names(field)
        text = next((source[name] for source in sources if (source.get(name) or "").strip()), None)
        if text is not None:
            values[field] = _read(name, text.strip(), about=about)
    settings = Settings(**values)
    _check(settings)
    return settings


def format_value(value: object, kind: Kind) -> str:
    """A value in the syntax of its setting, for help and docs."""
    if value is None or value == ():
        return "none"
    if kind is DURATION or kind is EXPIRY:
        days = value / 86_400 if isinstance(value, float) else 0
        return f"{days:g}d" if days >= 1 else f"{value:g}s"
    if kind is SIZE and isinstance(value, int):
        return next(
            f"{value // size}{unit}" for unit, size in (("MiB", 1024**2), ("KiB", 1024), ("", 1)) if value % size == 0
        )
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


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
    for store, url in settings.redis_urls.items():
        if not installation.has_module("redis"):
            raise InvalidSetting(
                f"{store.upper()}_URL: got redis://, which needs the extra redis: pip install 'tokenfall[redis]', "
                "or the full container image"
            )
        if url.startswith("rediss:") and not installation.has_certificates():
            raise InvalidSetting(f"{store.upper()}_URL: got rediss://{NO_CERTIFICATES}")
    if not settings.history.startswith("sqlite:"):
        return
    if not installation.has_module("_sqlite3"):
        raise InvalidSetting(f"HISTORY_URL: got {settings.history!r}, and this Python has no SQLite{FULL_IMAGE_HINT}")
    if not installation.can_write(sqlite_path(settings.history)):
        raise InvalidSetting(
            f"HISTORY_URL: got {settings.history!r}, which is not writable (read-only file system, or a folder of "
            "another user); takes a file in a folder of this user, in a container on a volume"
        )
    if not installation.is_sqlite_database(sqlite_path(settings.history)):
        raise InvalidSetting(
            f"HISTORY_URL: got {settings.history!r}, which is not an SQLite database; takes a database or a new file"
        )


def _check_upstream(settings: Settings) -> None:
    if settings.upstream is None:
        return
    name = "UPSTREAM_URL" if settings.upstream_url else "GROQ_API_KEY"
    if not installation.has_module("_ssl"):
        raise InvalidSetting(f"{name}: an upstream needs TLS, and this Python has none{FULL_IMAGE_HINT}")
    if settings.upstream.startswith("https:") and not installation.has_certificates():
        raise InvalidSetting(f"{name}: got {settings.upstream!r}{NO_CERTIFICATES}")
