"""`tokenfall serve` with clock skew: `clock_offset.py serve`.

`CLOCK_OFFSET_S` is added to the wall clock, `UPTIME_OFFSET_S` to the monotonic clocks, whose origin differs between
machines. Both are set before Tokenfall is imported.
"""

import os
import sys
import time
from collections.abc import Callable


def shifted(clock: Callable[[], float], offset_s: float) -> Callable[[], float]:
    return lambda: clock() + offset_s


def main() -> int:
    clock_s = float(os.environ["CLOCK_OFFSET_S"])
    uptime_s = float(os.environ["UPTIME_OFFSET_S"])
    time.time = shifted(time.time, clock_s)
    time.monotonic = shifted(time.monotonic, uptime_s)
    time.perf_counter = shifted(time.perf_counter, uptime_s)
    from tokenfall.__main__ import main as run  # noqa: PLC0415 - after the clocks are shifted

    return run()


if __name__ == "__main__":
    sys.exit(main())
