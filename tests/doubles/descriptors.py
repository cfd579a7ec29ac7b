"""The open descriptors of this process, for leak checks."""

import gc
import os


def open_descriptors() -> set[tuple[str, str]]:
    """Return (number, link target) of each, after a garbage collection that closes leftovers of earlier tests."""
    gc.collect()
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return found
