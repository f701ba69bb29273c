"""Weights of classes, against imbalance."""

import numpy as np
import torch
from numpy.typing import NDArray

from maskwise.config import LossSettings
from maskwise.labels import UNKNOWN


def class_weights(
    codes: NDArray[np.int64], classes: int, settings: LossSettings, output: str
) -> torch.Tensor:
    """Return a weight per class (classes,), as set for an output or by its training labels.

    With n photos of a class: 1, n^-1/2, n^-1, or (1 - b) / (1 - b^n) (Cui et al., 2019,
    'Class-Balanced Loss', equation 2); scaled to a mean of 1 over the photos. Absent classes
    weigh 1. A list that was given is taken as it is.
    """
    given = settings.class_weight_lists.get(output)  # type: ignore[call-overload] # a plain str
    if given:
        return torch.tensor(given, dtype=torch.float32)
    counts = np.bincount(codes[codes != UNKNOWN], minlength=classes).astype(np.float64)
    present = np.maximum(counts, 1)
    beta = settings.effective_beta
    weights = {
        "none": np.ones(classes),
        "sqrt": present**-0.5,
        "balanced": 1 / present,
        "effective": (1 - beta) / (1 - beta**present),
    }[settings.class_weights]
    mean = (weights * counts).sum() / max(counts.sum(), 1)
    weights = np.where(counts > 0, weights / (mean or 1), 1)
    return torch.from_numpy(weights.astype(np.float32))
