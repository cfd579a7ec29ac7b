import pytest

from tokenfall.wire.times import rfc3339


@pytest.mark.parametrize(
    ("unix_s", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250000Z"),
        (1_700_000_000.999999, "2023-11-14T22:13:20.999999Z"),
    ],
)
def test_timestamp_is_utc_with_microseconds(unix_s: float, text: str) -> None:
    assert rfc3339(unix_s) == text
