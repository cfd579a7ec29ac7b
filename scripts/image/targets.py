"""The two images: what they leave out, and how the server of each is used to learn what it needs."""

from typing import NamedTuple


class Target(NamedTuple):
    """An image. `left_out` are modules and packages that it is made without; what needs them is left out too."""

    name: str
    left_out: tuple[str, ...]
    is_full: bool
    """Whether it has every feature, and the certificates for TLS."""


NEVER_USED = ("bz2", "_bz2", "lzma", "_lzma", "_uuid", "typing_extensions")
"""`shutil`, `uuid` and msgspec import them where they are there, and nothing here needs what they bring."""

LIBRARIES = ("_hashlib", "_ssl", "ssl", "_sqlite3", "sqlite3", "redis", "yaml", "_yaml", "re2", "dotenv")
"""OpenSSL and what needs it, SQLite, extras. `hashlib` then has its own algorithms. A container gets its settings from
the environment, so it needs no reader of `.env`."""

FEATURES = (
    "tokenfall.bootstrap.upstream", "tokenfall.upstream.client", "tokenfall.upstream.engine",
    "tokenfall.upstream.proxies", "tokenfall.upstream.refused_fields", "tokenfall.cli.record", "tokenfall.cli.fit",
    "tokenfall.cli.supervisor", "tokenfall.limits.shared", "tokenfall.shared_metrics",
)  # fmt: skip
"""Where code begins that a simulator has no use for: settings and commands that lead there are refused. Several workers
need a history that they share."""

SIMULATOR = Target("simulator", left_out=(*NEVER_USED, *LIBRARIES, *FEATURES), is_full=False)
FULL = Target("full", left_out=NEVER_USED, is_full=True)

TARGETS = {target.name: target for target in (SIMULATOR, FULL)}
