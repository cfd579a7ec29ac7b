import pytest

from tokenfall.memory.shares import IN_USE, SHARE_IN_USE, MemoryShares


def test_caller_may_hold_as_much_as_remains_free() -> None:
    shares = MemoryShares(100)
    refused = [shares.resize("a", before=0, after=50), shares.resize("a", before=0, after=1)]
    refused += [shares.resize("b", before=0, after=25), shares.resize("b", before=0, after=1)]

    assert refused == ["", SHARE_IN_USE, "", SHARE_IN_USE]
    assert shares.held_bytes == 75


@pytest.mark.parametrize("callers", [1, 2, 9])
def test_callers_that_take_all_they_can_leave_one_equal_share_free(callers: int) -> None:
    shares = MemoryShares(100_000)
    held = dict.fromkeys(range(callers), 0)
    for _ in range(100_000):
        for caller in held:
            if not shares.resize(str(caller), before=0, after=10):
                held[caller] += 10
    even = 100_000 / (callers + 1)

    assert all(abs(size_bytes - even) < 20 for size_bytes in held.values())
    assert shares.resize("new", before=0, after=int(even / 2) - 20) == ""


def test_leases_do_not_exceed_the_limit() -> None:
    shares = MemoryShares(100)
    shares.resize("a", before=0, after=95, always=True)

    assert shares.resize("b", before=0, after=6) == IN_USE
    assert shares.resize("b", before=0, after=6, always=True) == ""
    assert shares.held_bytes == 101


def test_caller_over_its_share_may_shrink() -> None:
    shares = MemoryShares(100)
    shares.resize("a", before=0, after=50)
    shares.resize("b", before=0, after=25)

    assert shares.resize("a", before=50, after=49) == ""
    assert shares.resize("a", before=49, after=0) == ""
    assert shares.resize("b", before=25, after=50) == ""
