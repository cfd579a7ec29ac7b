"""Configuration of all tests: rewritten asserts in helper modules, markers, and the event loop of coroutine tests."""

import gc
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import asyncio

pytest.register_assert_rewrite("tests.contracts", "tests.end_to_end", "tests.stores", "tests.doubles")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(name): the row of docs/reliability.md that a test covers")
    config.addinivalue_line(
        "markers", "slow: takes more than half a second of processor time; `make check` leaves it out"
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Freeze the objects that collection has created, hundreds of thousands: no garbage collection traverses them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> "Mapping[str, Callable[[], asyncio.AbstractEventLoop]]":
    """Run coroutine tests on the server's own event loop: asyncio over the reactor."""
    from tests.doubles.loops import TestLoop  # noqa: PLC0415 - asserts in it are rewritten from here on

    return {"reactor": TestLoop}
