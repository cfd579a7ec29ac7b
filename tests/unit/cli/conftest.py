"""What tests of the command line put back."""

import signal
from collections.abc import Iterator

import pytest

from tokenfall.cli.worker import SIGNALS


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """The process handles its signals afterwards as it did before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
