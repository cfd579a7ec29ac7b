"""The two images and the modules that each of them excludes."""

from typing import NamedTuple


class Target(NamedTuple):
    """An image. `excluded` are modules and packages that it does not contain, with all modules that need them."""

    name: str
    excluded: tuple[str, ...]
    is_full: bool
    """Whether it has every feature, and the certificates for TLS."""


NEVER_USED = ("bz2", "_bz2", "lzma", "_lzma", "_uuid", "typing_extensions")
"""`shutil`, `uuid` and msgspec import them if they are installed, but no feature of the server uses them."""

LIBRARIES = ("_hashlib", "_ssl", "ssl", "_sqlite3", "sqlite3", "redis", "yaml", "_yaml", "re2", "dotenv", "shutil")
"""OpenSSL and modules that need it, SQLite, extras. Without OpenSSL, `hashlib` uses its built-in algorithms. A
container gets its settings from the environment, so it needs no reader of `.env`. argparse would use `shutil` for the
width of its help only."""

FEATURES = (
    "tokenfall.bootstrap.startup_checks", "tokenfall.bootstrap.upstream", "tokenfall.upstream.client",
    "tokenfall.upstream.engine",
    "tokenfall.upstream.known_rewrites", "tokenfall.upstream.proxies", "tokenfall.cli.record", "tokenfall.cli.fit",
    "tokenfall.cli.supervisor", "tokenfall.limits.shared", "tokenfall.metrics.shared",
)  # fmt: skip
"""Modules of features that the image `simulator` does not have; settings and commands that need them are refused.
Several workers need a shared history, which this image does not have either."""

SIMULATOR = Target("simulator", excluded=(*NEVER_USED, *LIBRARIES, *FEATURES), is_full=False)
FULL = Target("full", excluded=NEVER_USED, is_full=True)

TARGETS = {target.name: target for target in (SIMULATOR, FULL)}
