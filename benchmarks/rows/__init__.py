"""All measurements, in the order of running and reporting."""

from benchmarks.bench import Measurement
from benchmarks.rows import (
    api_data,
    box,
    chat_relay,
    endless_streams,
    first_byte,
    history,
    idle,
    page_frames,
    passthrough_relay,
    provider_frames,
    rest,
    start,
    timing,
    tls_relay,
)

MEASUREMENTS: tuple[Measurement, ...] = (
    box.MEASUREMENT,
    endless_streams.COST,
    endless_streams.MEMORY,
    rest.MEASUREMENT,
    *timing.MEASUREMENTS,
    *provider_frames.MEASUREMENTS,
    api_data.MEASUREMENT,
    chat_relay.MEASUREMENT,
    passthrough_relay.MEASUREMENT,
    tls_relay.MEASUREMENT,
    first_byte.MEASUREMENT,
    start.MEASUREMENT,
    idle.MEASUREMENT,
    history.MEASUREMENT,
    page_frames.MEASUREMENT,
)
