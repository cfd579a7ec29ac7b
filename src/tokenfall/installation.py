"""What this installation has: modules, certificates, folders that can be written. Asked once, at the start.

An image may leave modules out, run on a read-only file system, or have no certificates.
"""

from __future__ import annotations

import os


def has_module(name: str) -> bool:
    """Whether it could be imported; it is not."""
    from importlib.util import find_spec  # noqa: PLC0415 - only who names a store or an upstream asks

    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False


def has_certificates() -> bool:
    """Whether there is any certificate of an authority where OpenSSL and SSL_CERT_FILE say."""
    from ssl import get_default_verify_paths  # noqa: PLC0415 - only who has TLS asks

    file, folder = get_default_verify_paths()[:2]  # each None where there is none, which typeshed does not know
    return bool(file) or bool(folder and os.listdir(folder))


def can_write(path: str) -> bool:
    """Whether the file at `path` can be written, or made in its folder."""
    folder = os.path.dirname(path) or "."
    return os.access(folder, os.W_OK | os.X_OK) and (not os.path.exists(path) or os.access(path, os.W_OK))
