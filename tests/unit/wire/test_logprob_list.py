import pytest

from tokenfall.errors import UpstreamMalformed
from tokenfall.wire.logprob_list import MAX_BYTES, LogprobList


def test_items_are_joined_and_taken_once() -> None:
    found = LogprobList()
    for items in (b"1", b"2", b"", b"3,4"):
        found.add(items)

    assert (found.take(), found.take()) == (b"1,2,3,4", b"")


def test_more_than_the_limit_is_refused() -> None:
    found = LogprobList()
    found.add(b"1" * MAX_BYTES)

    with pytest.raises(UpstreamMalformed, match="more than 16777216 bytes of log probabilities"):
        found.add(b"1")
