"""The memory that a training takes."""

import resource
import sys

import torch


def peak_memory_gb(device: torch.device) -> float:
    """Return the most that this process has taken so far: of its GPU, else of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
