"""Formats timestamps. Pure: does not read the clock."""

from typing import Annotated

from msgspec import Meta

Timestamp = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
"""A timestamp in the format of `rfc3339`, with or without the fraction of a second."""


def rfc3339(unix_s: float) -> str:
    """A timestamp in UTC with microseconds: `2026-11-20T12:00:00.250000Z`; RFC 3339, section 5.6."""
    from datetime import UTC, datetime  # noqa: PLC0415 - 0.3 MiB that the plain streams do not need

    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
