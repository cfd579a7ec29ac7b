"""Which event loop serves."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


def loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """uvloop's loop where it is installed, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - it does not install everywhere
    except ImportError:
        return None
    return uvloop.Loop
