"""Keeps out of memory what the simulator never uses. To be imported before anything that imports msgspec.

asyncio and uvloop import `ssl` on every start, and hashlib OpenSSL's hashes: 2 MiB of the process's own memory and
3 MiB of mapped libraries, of the 20 MiB that the simulator must live in. Nothing here speaks TLS unless an upstream is
set, so `without_tls` loads the event loop without it. See docs/decisions/0003-no-tls-on-the-simulator.md.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_SSL_EXCEPTIONS = ("SSLError", "SSLWantReadError", "SSLSyscallError", "SSLZeroReturnError", "CertificateError")
_SSL_CLASSES = ("SSLContext", "MemoryBIO")
_SSL_NUMBERS = ("SSL_ERROR_WANT_READ", "SSL_ERROR_WANT_WRITE", "SSL_ERROR_SYSCALL")


@contextmanager
def _in_place_of(name: str, module: ModuleType | None) -> Iterator[None]:
    """While it lasts, `import name` finds `module`, or fails for None. Nothing happens when it is loaded already."""
    if name in sys.modules:
        yield
        return
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    modules[name] = module  # None is how the import system is told "not there"
    try:
        yield
    finally:
        del sys.modules[name]


def without_tls() -> None:
    """Load asyncio and uvloop without `ssl`; who imports `ssl` later still gets the real one.

    asyncio itself runs on a Python without ssl. uvloop wants the names it would use, and gets hollow ones.
    """
    without_openssl()
    with _in_place_of("ssl", None):
        import asyncio  # noqa: F401, PLC0415
    with _in_place_of("ssl", _hollow_ssl()):
        try:
            import uvloop  # noqa: F401, PLC0415
        except ImportError:
            return  # asyncio's own loop serves


def without_openssl() -> None:
    """Load Python's own hashes only. What a supervisor loads, its workers have."""
    with _in_place_of("_hashlib", None):
        import hashlib  # noqa: F401, PLC0415
        import hmac  # noqa: F401, PLC0415


def _hollow_ssl() -> ModuleType:
    hollow = ModuleType("ssl")
    for name in _SSL_EXCEPTIONS:
        setattr(hollow, name, type(name, (OSError,), {}))
    for name in _SSL_CLASSES:
        setattr(hollow, name, type(name, (), {}))
    for number, name in enumerate(_SSL_NUMBERS, 2):
        setattr(hollow, name, number)
    hollow.create_default_context = None  # type: ignore[attr-defined]
    return hollow


with _in_place_of("typing_extensions", None):  # msgspec takes typing's own names then: 0.4 MiB
    import msgspec  # noqa: F401
