"""Every measurement, in the order in which it is taken and reported."""

from benchmarks.bench import Measurement
from benchmarks.rows import (
    api_data,
    box,
    chat_relay,
    endless_streams,
    first_byte,
    page_frames,
    provider_frames,
    rest,
    schedule_error,
    start,
)

MEASUREMENTS: tuple[Measurement, ...] = (
    box.MEASUREMENT,
    box.MEASUREMENT_ALONE,
    endless_streams.COST,
    endless_streams.MEMORY,
    rest.MEASUREMENT,
    endless_streams.LATENESS,
    *schedule_error.MEASUREMENTS,
    provider_frames.MEASUREMENT,
    api_data.MEASUREMENT,
    chat_relay.MEASUREMENT,
    first_byte.MEASUREMENT,
    start.MEASUREMENT,
    page_frames.MEASUREMENT,
)
