"""Which descriptors this process has open, to compare before and after."""

import gc
import os


def open_descriptors() -> set[tuple[str, str]]:
    """Each by its number and what it is, after a collection: what earlier tests left is gone already."""
    gc.collect()
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:  # the listing's own
            continue
    return found
