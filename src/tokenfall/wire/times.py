"""Moments as text. Pure: whoever asks brings the moment."""


def rfc3339(unix_s: float) -> str:
    """A moment in UTC to the microsecond: `2026-11-20T12:00:00.250000Z`; RFC 3339, section 5.6."""
    from datetime import UTC, datetime  # noqa: PLC0415 - 0.3 MiB that the plain streams never need

    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
