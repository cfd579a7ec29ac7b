"""What all tests share: asserts in modules that are imported by tests, and are none themselves, say what they saw."""

import gc
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import asyncio

pytest.register_assert_rewrite("tests.contracts", "tests.end_to_end", "tests.stores", "tests.doubles")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(name): which line of docs/reliability.md a test proves")
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
    """Coroutines run where the server runs them: on asyncio over the reactor."""
    from tests.doubles.loops import TestLoop  # noqa: PLC0415 - asserts in it are rewritten from here on

    return {"reactor": TestLoop}
