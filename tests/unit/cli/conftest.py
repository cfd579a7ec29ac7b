"""Restores process state that tests of the command line change."""

import signal
from collections.abc import Iterator

import pytest

from tokenfall.cli.worker import SIGNALS


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """Restore the signal handlers after each test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
