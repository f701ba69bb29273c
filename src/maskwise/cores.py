"""How many cores there are to work with."""

import os


def core_count() -> int:
    """Return the cores that this process may use: it may be kept to some of the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
