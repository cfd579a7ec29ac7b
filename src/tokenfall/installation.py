"""Checks of the installation: modules, certificates, writable folders. Used once, at the start.

A container image may lack modules or certificates, or run on a read-only file system.
"""

from __future__ import annotations

import os

FULL_IMAGE_HINT = "; the full container image (target full) includes it"
"""Appended to the error about a missing module."""


def has_module(name: str) -> bool:
    """Whether the module is installed, without importing it."""
    from importlib.util import find_spec  # noqa: PLC0415 - only needed with a store or an upstream

    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def has_certificates() -> bool:
    """Whether CA certificates exist in OpenSSL's default paths or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    from ssl import get_default_verify_paths  # noqa: PLC0415 - only needed with TLS

    file, folder = get_default_verify_paths()[:2]  # each may be None, which typeshed lacks
    return bool(file) or bool(folder and os.listdir(folder))


SQLITE_MAGIC = b"SQLite format 3\0"
"""The first bytes of a database; https://www.sqlite.org/fileformat.html, section 1.3."""


def is_sqlite_database(path: str) -> bool:
    """Whether SQLite can use the path: a database, an empty or a missing file."""
    if os.path.exists(path) and not os.path.isfile(path):  # opening a named pipe would block
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(SQLITE_MAGIC)) in (SQLITE_MAGIC, b"")
    except FileNotFoundError:
        return True
    except OSError:
        return False


def can_write(path: str) -> bool:
    """Whether the file at `path` can be written or created."""
    folder = os.path.dirname(path) or "."
    return os.access(folder, os.W_OK | os.X_OK) and (not os.path.exists(path) or os.access(path, os.W_OK))
